-- Adminer 4.8.1 MySQL 5.5.5-10.11.6-MariaDB dump

SET NAMES utf8;
SET time_zone = '+00:00';
SET foreign_key_checks = 0;
SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';

SET NAMES utf8mb4;

DROP DATABASE IF EXISTS `garden`;
CREATE DATABASE `garden` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci */;
USE `garden`;

DELIMITER ;;

DROP FUNCTION IF EXISTS `twice`;;
CREATE FUNCTION `twice`(n INT) RETURNS int(11)
    DETERMINISTIC
BEGIN RETURN n * 2; END;;

DELIMITER ;

DROP TABLE IF EXISTS `beds`;
CREATE TABLE `beds` (
  `bed_id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(80) NOT NULL,
  `seen` datetime DEFAULT NULL,
  PRIMARY KEY (`bed_id`),
  UNIQUE KEY `name` (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

TRUNCATE `beds`;
INSERT INTO `beds` (`bed_id`, `name`, `seen`) VALUES
(1,	'herbs\n-- 2026-11-27 22:15:00',	'2026-11-27 22:15:00'),
(2,	'Kräuter',	NULL);

DELIMITER ;;

CREATE TRIGGER `beds_before` BEFORE INSERT ON `beds` FOR EACH ROW
SET NEW.name = TRIM(NEW.name);;

DELIMITER ;

DROP VIEW IF EXISTS `planted`;
CREATE TABLE `planted` (`bed_id` int(11), `name` varchar(80));


DROP TABLE IF EXISTS `planted`;
CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `planted` AS select `beds`.`bed_id` AS `bed_id`,`beds`.`name` AS `name` from `beds`;

-- 2026-11-27 22:15:00
