-- phpMyAdmin SQL Dump
-- version 5.2.1
-- https://www.phpmyadmin.net/
--
-- Host: localhost:3306
-- Generation Time: Nov 27, 2026 at 10:15 PM
-- Server version: 10.11.6-MariaDB-0+deb12u1
-- PHP Version: 8.2.7

SET SQL_MODE = "NO_AUTO_VALUE_ON_ZERO";
START TRANSACTION;
SET time_zone = "+00:00";


/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;

--
-- Database: `garden`
--
CREATE DATABASE IF NOT EXISTS `garden` DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
USE `garden`;

-- --------------------------------------------------------

--
-- Table structure for table `beds`
--

DROP TABLE IF EXISTS `beds`;
CREATE TABLE IF NOT EXISTS `beds` (
  `bed_id` int(11) NOT NULL COMMENT 'it''s, a "key"; (',
  `name` varchar(80) NOT NULL DEFAULT 'north; south',
  `note` text DEFAULT NULL,
  `open` bit(1) DEFAULT b'0'
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci COMMENT='beds, (all)';

--
-- Dumping data for table `beds`
--

INSERT INTO `beds` (`bed_id`, `name`, `note`, `open`) VALUES
(0, 'nothing', NULL, b'1'),
(1, 'herbs', 'it''s\r\nsunny; COMMIT;', b'0'),
(7, 'Kräuter', '-- \\ \"quoted\"', NULL);

--
-- Triggers `beds`
--
DROP TRIGGER IF EXISTS `beds_before`;
DELIMITER $$
CREATE TRIGGER `beds_before` BEFORE INSERT ON `beds` FOR EACH ROW BEGIN
  IF NEW.note IS NULL THEN
    SET NEW.note = '';
  END IF;
END
$$
DELIMITER ;

-- --------------------------------------------------------

--
-- Table structure for table `plants`
--

DROP TABLE IF EXISTS `plants`;
CREATE TABLE IF NOT EXISTS `plants` (
  `plant_id` bigint(20) UNSIGNED NOT NULL,
  `bed_id` int(11) NOT NULL,
  `latin` varchar(120) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL,
  `picture` blob DEFAULT NULL,
  `planted` timestamp NULL DEFAULT current_timestamp()
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

--
-- Dumping data for table `plants`
--

INSERT INTO `plants` (`plant_id`, `bed_id`, `latin`, `picture`, `planted`) VALUES
(1, 1, 'Thymus', 0xff00275c, '2026-03-01 10:00:00'),
(2, 7, 'Salvia', '', NULL);

-- --------------------------------------------------------

--
-- Stand-in structure for view `planted`
-- (See below for the actual view)
--
DROP VIEW IF EXISTS `planted`;
CREATE TABLE IF NOT EXISTS `planted` (
`name` varchar(80)
,`latin` varchar(120)
);

-- --------------------------------------------------------

--
-- Structure for view `planted`
--
DROP TABLE IF EXISTS `planted`;

DROP VIEW IF EXISTS `planted`;
CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `planted`  AS SELECT `beds`.`name` AS `name`, `plants`.`latin` AS `latin` FROM (`beds` join `plants` on(`plants`.`bed_id` = `beds`.`bed_id`)) ;

--
-- Indexes for dumped tables
--

--
-- Indexes for table `beds`
--
ALTER TABLE `beds`
  ADD PRIMARY KEY (`bed_id`),
  ADD UNIQUE KEY `name` (`name`(20));
ALTER TABLE `beds` ADD FULLTEXT KEY `note` (`note`);

--
-- Indexes for table `plants`
--
ALTER TABLE `plants`
  ADD PRIMARY KEY (`plant_id`),
  ADD KEY `bed_id` (`bed_id`,`planted`) USING BTREE;

--
-- AUTO_INCREMENT for dumped tables
--

--
-- AUTO_INCREMENT for table `beds`
--
ALTER TABLE `beds`
  MODIFY `bed_id` int(11) NOT NULL AUTO_INCREMENT COMMENT 'it''s, a "key"; (', AUTO_INCREMENT=12;

--
-- AUTO_INCREMENT for table `plants`
--
ALTER TABLE `plants`
  MODIFY `plant_id` bigint(20) UNSIGNED NOT NULL AUTO_INCREMENT, AUTO_INCREMENT=3;

--
-- Constraints for dumped tables
--

--
-- Constraints for table `plants`
--
ALTER TABLE `plants`
  ADD CONSTRAINT `plants_ibfk_1` FOREIGN KEY (`bed_id`) REFERENCES `beds` (`bed_id`) ON DELETE CASCADE;
COMMIT;

/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
