-- MariaDB dump 10.19
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(40), `b` int);
INSERT INTO `t` (`id`,`a`) VALUES (1,'x'),(2,'y');
CREATE TABLE `u` (`id` int, `a` int);
CREATE TABLE `log` (`a` text);
DELIMITER ;;
CREATE PROCEDURE p() BEGIN DECLARE end INT; IF CASE WHEN 1 THEN BINARY end ELSE (2) END THEN FLUSH TABLES; SET GLOBAL max_connections=77; END IF; END;;
DELIMITER ;
-- Dump completed
