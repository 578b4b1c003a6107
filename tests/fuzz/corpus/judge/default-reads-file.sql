-- MariaDB dump 10.19
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(40), `b` int);
INSERT INTO `t` (`id`,`a`) VALUES (1,'x'),(2,'y');
CREATE TABLE `u` (`id` int, `a` int);
CREATE TABLE `log` (`a` text);
CREATE TABLE n (a INT, b text DEFAULT (LOAD_FILE('/etc/passwd')));
-- Dump completed
