-- --------------------------------------------------------
-- Host:                         127.0.0.1
-- Server version:               10.11.6-MariaDB - mariadb.org binary distribution
-- Server OS:                    Win64
-- HeidiSQL Version:             12.6.0.6765
-- --------------------------------------------------------

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8 */;
/*!50503 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;


-- Dumping database structure for garden
DROP DATABASE IF EXISTS `garden`;
CREATE DATABASE IF NOT EXISTS `garden` /*!40100 DEFAULT CHARACTER SET latin1 COLLATE latin1_swedish_ci */;
USE `garden`;

-- Dumping structure for procedure garden.water
DROP PROCEDURE IF EXISTS `water`;
DELIMITER //
CREATE PROCEDURE `water`(
	IN `n` INT
)
BEGIN
	SELECT n, 'it''s';
END//
DELIMITER ;

-- Dumping structure for table garden.beds
DROP TABLE IF EXISTS `beds`;
CREATE TABLE IF NOT EXISTS `beds` (
  `bed_id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(80) NOT NULL,
  `note` text DEFAULT NULL,
  PRIMARY KEY (`bed_id`),
  KEY `name` (`name`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=latin1 COLLATE=latin1_swedish_ci;

-- Dumping data for table garden.beds: ~2 rows (approximately)
DELETE FROM `beds`;
/*!40000 ALTER TABLE `beds` DISABLE KEYS */;
INSERT INTO `beds` (`bed_id`, `name`, `note`) VALUES
	(1, 'herbs', 'it\'s sunny; \\'),
	(2, 'Kräuter', NULL);
/*!40000 ALTER TABLE `beds` ENABLE KEYS */;

-- Dumping structure for view garden.planted
DROP VIEW IF EXISTS `planted`;
-- Creating temporary table to overcome VIEW dependency errors
CREATE TABLE `planted` (
	`bed_id` INT(11) NOT NULL,
	`name` VARCHAR(1) NOT NULL COLLATE 'latin1_swedish_ci'
) ENGINE=MyISAM;

-- Dumping structure for trigger garden.beds_before
DROP TRIGGER IF EXISTS `beds_before`;
SET @OLDTMP_SQL_MODE=@@SQL_MODE, SQL_MODE='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION';
DELIMITER //
CREATE TRIGGER `beds_before` BEFORE INSERT ON `beds` FOR EACH ROW BEGIN
	SET NEW.name = TRIM(NEW.name);
END//
DELIMITER ;
SET SQL_MODE=@OLDTMP_SQL_MODE;

-- Dumping structure for view garden.planted
DROP VIEW IF EXISTS `planted`;
-- Removing temporary table and create final VIEW structure
DROP TABLE IF EXISTS `planted`;
CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `planted` AS select `beds`.`bed_id` AS `bed_id`,`beds`.`name` AS `name` from `beds`;

/*!40103 SET TIME_ZONE=IFNULL(@OLD_TIME_ZONE, 'system') */;
/*!40101 SET SQL_MODE=IFNULL(@OLD_SQL_MODE, '') */;
/*!40014 SET FOREIGN_KEY_CHECKS=IFNULL(@OLD_FOREIGN_KEY_CHECKS, 1) */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40111 SET SQL_NOTES=IFNULL(@OLD_SQL_NOTES, 1) */;
