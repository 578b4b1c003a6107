-- MariaDB dump 10.19
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(40), `b` int);
INSERT INTO `t` (`id`,`a`) VALUES (1,'x'),(2,'y');
CREATE TABLE `u` (`id` int, `a` int);
CREATE TABLE `log` (`a` text);
DELIMITER ;;
CREATE DEFINER=nobody@'%' EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE log FROM log JOIN t ON log.a=t.a; UPDATE t, u SET t.b=u.a WHERE t.id=u.id; END;;
DELIMITER ;
-- Dump completed
