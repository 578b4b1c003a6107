/*
 Navicat Premium Data Transfer

 Source Server         : garden
 Source Server Type    : MariaDB
 Source Server Version : 101106
 Source Host           : localhost:3306
 Source Schema         : garden

 Target Server Type    : MariaDB
 Target Server Version : 101106
 File Encoding         : 65001

 Date: 27/11/2026 22:15:00
*/

SET NAMES utf8mb4;
SET FOREIGN_KEY_CHECKS = 0;

-- ----------------------------
-- Table structure for beds
-- ----------------------------
DROP TABLE IF EXISTS `beds`;
CREATE TABLE `beds`  (
  `bed_id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(80) CHARACTER SET utf8 COLLATE utf8_general_ci NOT NULL COMMENT 'the name',
  `note` text CHARACTER SET utf8 COLLATE utf8_general_ci NULL,
  PRIMARY KEY (`bed_id`) USING BTREE,
  INDEX `name`(`name`) USING BTREE
) ENGINE = InnoDB AUTO_INCREMENT = 3 CHARACTER SET = utf8 COLLATE = utf8_general_ci COMMENT = 'beds' ROW_FORMAT = Dynamic;

-- ----------------------------
-- Records of beds
-- ----------------------------
BEGIN;
INSERT INTO `beds` VALUES (1, 'herbs', 'it\'s sunny\nSET FOREIGN_KEY_CHECKS = 1;');
INSERT INTO `beds` VALUES (2, 'Kräuter', NULL);
COMMIT;

-- ----------------------------
-- Table structure for plants
-- ----------------------------
DROP TABLE IF EXISTS `plants`;
CREATE TABLE `plants`  (
  `plant_id` int(11) NOT NULL,
  `bed_id` int(11) NULL DEFAULT NULL,
  PRIMARY KEY (`plant_id`) USING BTREE,
  INDEX `bed`(`bed_id`) USING BTREE,
  CONSTRAINT `plants_bed` FOREIGN KEY (`bed_id`) REFERENCES `beds` (`bed_id`) ON DELETE RESTRICT ON UPDATE RESTRICT
) ENGINE = InnoDB CHARACTER SET = utf8 COLLATE = utf8_general_ci ROW_FORMAT = Dynamic;

-- ----------------------------
-- Records of plants
-- ----------------------------
INSERT INTO `plants` VALUES (1, 2);

-- ----------------------------
-- View structure for planted
-- ----------------------------
DROP VIEW IF EXISTS `planted`;
CREATE ALGORITHM = UNDEFINED SQL SECURITY DEFINER VIEW `planted` AS select `beds`.`bed_id` AS `bed_id`,`beds`.`name` AS `name` from `beds`;

-- ----------------------------
-- Procedure structure for water
-- ----------------------------
DROP PROCEDURE IF EXISTS `water`;
delimiter ;;
CREATE PROCEDURE `water`(IN n INT)
BEGIN
  SELECT n;
END
;;
delimiter ;

-- ----------------------------
-- Triggers structure for table beds
-- ----------------------------
DROP TRIGGER IF EXISTS `beds_before`;
delimiter ;;
CREATE TRIGGER `beds_before` BEFORE INSERT ON `beds` FOR EACH ROW SET NEW.name = TRIM(NEW.name)
;;
delimiter ;

SET FOREIGN_KEY_CHECKS = 1;
