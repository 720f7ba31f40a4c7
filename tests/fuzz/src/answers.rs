//! A database's rows with any text in any column: nobody is taken for more than it says.
//!
//! An input is written as `\G` shows rows: `name: value` a line, NULL for NULL, a line without a colon between two rows.

use vrrp_user::mysql::{
    Flavour, ReplicaStatus, Row, SemiSync, ServerState, Thread, row::transpose, statements::is_reached,
};

use crate::refused;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seeds = [
        // Identities.
        "server_id: 1\nread_only: 0\ngtid_binlog_pos: 0-1-4\ngtid_slave_pos: \ngtid_binlog_state: 0-2-3,0-1-4\n\
         version: 10.11.19-MariaDB-0+deb12u1-log",
        "server_id: 2\nread_only: 1\nserver_uuid: 3e11fa47-71ca-11e1-9e33-c80aa9429562\n\
         gtid_executed: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7:9-12,\n\
         super_read_only: 1\noffline_mode: 0\nversion: 8.0.36",
        "server_id: 3\nread_only: NO_LOCK_NO_ADMIN\ngtid_binlog_state: 0-1-\nversion: 12.0.2-MariaDB",
        "server_id: 4\nread_only: OFF\nserver_uuid: NULL\ngtid_executed: \nversion: 5.6.24-log",
        // Replication, of both sets of names, on its way and broken.
        "Connection_name: \nSlave_SQL_State: Slave has read all relay log; waiting for more updates\n\
         Slave_IO_State: Waiting for master to send event\nMaster_Host: 10.99.0.2\nMaster_Port: 3306\nConnect_Retry: 1\n\
         Master_Log_File: binlog.000001\nRead_Master_Log_Pos: 884\nRelay_Master_Log_File: binlog.000001\n\
         Slave_IO_Running: Yes\nSlave_SQL_Running: Yes\nReplicate_Do_DB: \nExec_Master_Log_Pos: 884\n\
         Seconds_Behind_Master: 0\nLast_IO_Errno: 0\nLast_IO_Error: \nLast_SQL_Errno: 0\nLast_SQL_Error: \n\
         Master_Server_Id: 2\nUsing_Gtid: Slave_Pos\nGtid_IO_Pos: 0-1-4\nSQL_Delay: 0\nSlave_received_heartbeats: 17",
        "Source_Host: 192.168.1.2\nSource_Port: 3306\nSource_Log_File: binlog.000007\nRead_Source_Log_Pos: 2114\n\
         Relay_Source_Log_File: binlog.000007\nReplica_IO_Running: Connecting\nReplica_SQL_Running: No\n\
         Replicate_Ignore_DB: scratch\nExec_Source_Log_Pos: 1500\nSeconds_Behind_Source: NULL\nLast_IO_Errno: 2003\n\
         Last_SQL_Errno: 1062\nLast_SQL_Error: Duplicate entry\nSource_Server_Id: 2\nSQL_Delay: 0\n\
         Retrieved_Gtid_Set: 4e11fa47-71ca-11e1-9e33-c80aa9429562:1-9\nAuto_Position: 1\nChannel_Name: pair",
        // Semi-synchronous replication.
        "Variable_name: rpl_semi_sync_master_enabled\nValue: ON\n-\nVariable_name: rpl_semi_sync_master_timeout\n\
         Value: 10000\n-\nVariable_name: rpl_semi_sync_master_wait_point\nValue: AFTER_COMMIT\n-\n\
         Variable_name: Rpl_semi_sync_master_status\nValue: ON\n-\nVariable_name: Rpl_semi_sync_master_clients\nValue: 0",
        "Variable_name: rpl_semi_sync_source_enabled\nValue: ON\n-\n\
         Variable_name: rpl_semi_sync_source_wait_for_replica_count\nValue: 18446744073709551615\n-\n\
         Variable_name: Rpl_semi_sync_source_status\nValue: OFF",
    ];
    seeds.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn rows(text: &str) -> Vec<Row> {
    let mut rows = vec![Vec::new()];
    for line in text.lines() {
        match (line.split_once(':'), rows.last_mut()) {
            (Some((name, value)), Some(row)) => {
                let value = value.trim();
                row.push((name.trim().to_owned(), (value != "NULL").then(|| value.to_owned())));
            }
            (None, _) | (_, None) => rows.push(Vec::new()),
        }
    }
    rows.into_iter().map(Row::from_iter).collect()
}

pub(crate) fn check(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let rows = rows(text);
    let mut is_known = false;
    for row in &rows {
        let state = ServerState::read(row);
        is_known |= state.is_some();
        if let Some(state) = &state {
            check_state(row, state);
        }
        check_replica(row, state.as_ref());
        for (_, value) in row.cells() {
            check_value(value);
        }
    }
    check_semisync(&rows) || is_known
}

/// Only what says so is writable.
fn check_state(row: &Row, state: &ServerState) {
    let says = |name: &str, values: &[&str]| {
        row.get(&[name]).is_some_and(|value| values.iter().any(|known| value.eq_ignore_ascii_case(known)))
    };
    if state.writability.is_writable() {
        assert!(says("read_only", &["0", "OFF"]), "{row:?} is taken for writable");
        assert!(!says("super_read_only", &["1", "ON"]), "{row:?} is taken for writable");
    }
    assert!(!state.writability.to_string().is_empty() && !state.flavour.to_string().is_empty());
    if let Err(error) = &state.position {
        refused(error);
    }
}

fn check_replica(row: &Row, state: Option<&ServerState>) {
    let status = ReplicaStatus::read(row);
    let yes = row.cells().filter(|(_, value)| *value == Some("Yes")).count();
    let running = [status.receiver, status.applier].into_iter().filter(|thread| *thread == Thread::Running);
    assert!(running.count() <= yes, "{row:?} runs without saying so");
    let has_error = status.receiver_error.is_some() || status.applier_error.is_some();
    assert!(!status.is_broken() || has_error, "{row:?} is broken by no error");
    for flavour in ["10.11.19-MariaDB", "8.0.36"].map(Flavour::of) {
        let own = state.and_then(|state| state.position.as_ref().ok());
        if let (Some(own), Some(received)) = (own, status.received_position(flavour))
            && received.beyond(own).as_deref() == Some("")
        {
            assert!(status.is_caught_up(flavour, Some(own), false), "all that {row:?} took in is applied");
        }
    }
}

fn check_value(value: Option<&str>) {
    let flavour = Flavour::of(value.unwrap_or_default());
    assert!(!flavour.identity().is_empty() && !flavour.replica_status().is_empty());
    let is_number = value.is_some_and(|value| value.trim().parse::<i64>().is_ok_and(|value| value >= 0));
    assert!(is_number || !is_reached(flavour, value), "{value:?} is no sign that a position is reached");
}

/// With more replicas gone commits stall all the more.
fn check_semisync(rows: &[Row]) -> bool {
    let Some(semisync) = SemiSync::read(rows, rows) else { return false };
    let all = transpose(rows);
    let says_source = all.has("rpl_semi_sync_source_enabled") || all.has("rpl_semi_sync_replica_enabled");
    assert_eq!(semisync.has_new_names, says_source);
    let stalls = [0, 1, 2, u64::MAX].map(|gone| semisync.would_stall_without(gone));
    assert!(stalls.is_sorted(), "{semisync:?}");
    assert_eq!(semisync.would_stall(), stalls[0]);
    let name = if says_source { "source" } else { "master" };
    assert_eq!(semisync.set_source(true), format!("SET GLOBAL rpl_semi_sync_{name}_enabled = 1"));
    true
}
