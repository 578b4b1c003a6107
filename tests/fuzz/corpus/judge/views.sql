-- MariaDB dump 10.19
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(40), `b` int);
INSERT INTO `t` (`id`,`a`) VALUES (1,'x'),(2,'y');
CREATE TABLE `u` (`id` int, `a` int);
CREATE TABLE `log` (`a` text);
CREATE VIEW v AS SELECT EXTRACT(YEAR FROM t.a) AS x, TRIM(LEADING 'x' FROM t.a) AS y FROM t LEFT JOIN (u AS other JOIN log) ON other.id=t.id WHERE t.id IN (SELECT u.id FROM u);
-- Dump completed
