-- The users of a pair under vrrp, MariaDB 10.5 and later: each with what it needs and no more.
-- Change the passwords and the hosts, then run it as root on BOTH servers; it stays out of the binary log.
-- The tests run this very file.

SET SESSION sql_log_bin = 0;

-- A row per server, written by the daemon while its server is the active one.
CREATE DATABASE IF NOT EXISTS vrrp;
CREATE TABLE IF NOT EXISTS vrrp.heartbeat (
  server_id INT UNSIGNED NOT NULL PRIMARY KEY,
  beat BIGINT UNSIGNED NOT NULL,
  at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)
) ENGINE=InnoDB;

-- The daemon, on its own server (`role: manage`): read_only, replication threads, sessions of others, positions.
CREATE USER IF NOT EXISTS 'vrrp'@'localhost' IDENTIFIED BY 'change-me-vrrp';
CREATE USER IF NOT EXISTS 'vrrp'@'127.0.0.1' IDENTIFIED BY 'change-me-vrrp';
GRANT READ_ONLY ADMIN, CONNECTION ADMIN, PROCESS, SLAVE MONITOR, BINLOG MONITOR, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN ON *.* TO 'vrrp'@'localhost', 'vrrp'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE ON vrrp.heartbeat TO 'vrrp'@'localhost', 'vrrp'@'127.0.0.1';

-- Its probes: an ordinary user, as applications are, so that it is refused where they are refused.
CREATE USER IF NOT EXISTS 'vrrp_probe'@'localhost' IDENTIFIED BY 'change-me-probe';
CREATE USER IF NOT EXISTS 'vrrp_probe'@'127.0.0.1' IDENTIFIED BY 'change-me-probe';
GRANT SLAVE MONITOR, BINLOG MONITOR ON *.* TO 'vrrp_probe'@'localhost', 'vrrp_probe'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE ON vrrp.heartbeat TO 'vrrp_probe'@'localhost', 'vrrp_probe'@'127.0.0.1';

-- The daemon of the other node, which asks this server for its role and its position, and changes nothing.
CREATE USER IF NOT EXISTS 'vrrp_peer'@'10.99.0.%' IDENTIFIED BY 'change-me-peer';
GRANT SLAVE MONITOR, BINLOG MONITOR ON *.* TO 'vrrp_peer'@'10.99.0.%';

-- The replication thread of the other server.
CREATE USER IF NOT EXISTS 'replication'@'10.99.0.%' IDENTIFIED BY 'change-me-replication';
GRANT REPLICATION SLAVE ON *.* TO 'replication'@'10.99.0.%';
