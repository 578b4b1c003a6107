-- MariaDB dump 10.19
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `t` (`id` int PRIMARY KEY, `a` varchar(40), `b` int);
INSERT INTO `t` (`id`,`a`) VALUES (1,'x'),(2,'y');
CREATE TABLE `u` (`id` int, `a` int);
CREATE TABLE `log` (`a` text);
CREATE TABLE n (a INT /*!80023 INVISIBLE */ /*M!100100 DEFAULT 7 */, /*!80016 CHECK (a > 5), */ KEY (a) /*!80000 INVISIBLE */) /*!50100 PARTITION BY HASH (a) PARTITIONS 2 */ /*M!990000 x */;
-- Dump completed
