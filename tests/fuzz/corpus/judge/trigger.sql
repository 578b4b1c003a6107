-- MariaDB dump 10.19
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(40), `b` int);
INSERT INTO `t` (`id`,`a`) VALUES (1,'x'),(2,'y');
CREATE TABLE `u` (`id` int, `a` int);
CREATE TABLE `log` (`a` text);
DELIMITER ;;
CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN IF NEW.a IS NULL THEN SET NEW.a='it''s /* ;'; END IF; -- it's
 INSERT INTO log VALUES (NEW.a); END;;
DELIMITER ;
-- Dump completed
