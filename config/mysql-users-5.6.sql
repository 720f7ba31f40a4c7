-- The users of a pair under vrrp, Oracle MySQL 5.6 and 5.7: each with what it needs and no more.
-- Change the passwords and the hosts, then run it as root on BOTH servers; it stays out of the binary log.
-- The tests run this very file on 5.6.

SET SESSION sql_log_bin = 0;

-- A row per server, written by the daemon while its server is the active one.
CREATE DATABASE IF NOT EXISTS vrrp;
CREATE TABLE IF NOT EXISTS vrrp.heartbeat (
  server_id INT UNSIGNED NOT NULL PRIMARY KEY,
  beat BIGINT UNSIGNED NOT NULL,
  at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)
) ENGINE=InnoDB;

-- The daemon, on its own server (`role: manage`). SUPER is the only right of these versions that sets read_only, ends the
-- sessions of others and stops replication threads.
GRANT SUPER, PROCESS, REPLICATION CLIENT ON *.* TO 'vrrp'@'localhost' IDENTIFIED BY 'change-me-vrrp';
GRANT SUPER, PROCESS, REPLICATION CLIENT ON *.* TO 'vrrp'@'127.0.0.1' IDENTIFIED BY 'change-me-vrrp';
GRANT SELECT, INSERT, UPDATE ON vrrp.heartbeat TO 'vrrp'@'localhost';
GRANT SELECT, INSERT, UPDATE ON vrrp.heartbeat TO 'vrrp'@'127.0.0.1';

-- Its probes: an ordinary user, as applications are, so that it is refused where they are refused.
GRANT REPLICATION CLIENT ON *.* TO 'vrrp_probe'@'localhost' IDENTIFIED BY 'change-me-probe';
GRANT REPLICATION CLIENT ON *.* TO 'vrrp_probe'@'127.0.0.1' IDENTIFIED BY 'change-me-probe';
GRANT SELECT, INSERT, UPDATE ON vrrp.heartbeat TO 'vrrp_probe'@'localhost';
GRANT SELECT, INSERT, UPDATE ON vrrp.heartbeat TO 'vrrp_probe'@'127.0.0.1';

-- The daemon of the other node, which asks this server for its role and its position, and changes nothing.
GRANT REPLICATION CLIENT ON *.* TO 'vrrp_peer'@'10.99.0.%' IDENTIFIED BY 'change-me-peer';

-- The replication thread of the other server.
GRANT REPLICATION SLAVE ON *.* TO 'replication'@'10.99.0.%' IDENTIFIED BY 'change-me-replication';
