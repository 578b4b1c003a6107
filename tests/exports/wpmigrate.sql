# WordPress MySQL database migration
#
# Generated: Friday 27. November 2026 22:15 UTC
# Hostname: localhost
# Database: `garden`
# URL: //example.org
# Path: /var/www/html
# Tables: wp_beds
# Table Prefix: wp_
# --------------------------------------------------------

/*!40101 SET NAMES utf8mb4 */;

SET sql_mode='NO_AUTO_VALUE_ON_ZERO';



#
# Delete any existing table `wp_beds`
#

DROP TABLE IF EXISTS `wp_beds`;


#
# Table structure of table `wp_beds`
#

CREATE TABLE `wp_beds` (
  `bed_id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(80) COLLATE utf8mb4_unicode_ci NOT NULL DEFAULT '',
  PRIMARY KEY (`bed_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;


#
# Data contents of table `wp_beds`
#
INSERT INTO `wp_beds` ( `bed_id`, `name`) VALUES
( 1, 'herbs'),
( 2, 'flowers') ;

#
# End of data contents of table `wp_beds`
# --------------------------------------------------------

#
# Add constraints back in and apply any alter data queries.
#

