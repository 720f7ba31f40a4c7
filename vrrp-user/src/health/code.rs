//! What an error of a MySQL or MariaDB server says about the server.
//!
//! Owns the table of codes. An error is first of all a sign of life: the rule for whoever adds to it is that only a
//! server that says it goes away, or that cannot finish a write, may cost an address; our own mistakes never.

use super::judge::Symptom;

/// The meaning of the server's error `code`.
pub fn symptom(code: u16) -> Symptom {
    match code {
        // Server shutdown in progress.
        1053 => Symptom::Leaving,
        // This connection was killed, interrupted or idle for too long: by an operator as well as by a shutdown. Whether
        // it was the latter, the next connection shows.
        1317 | 1927 | 3168 | 4031 => Symptom::Closed,
        // Too many connections; out of resources, memory, threads: failing over moves the storm to the peer.
        1037 | 1038 | 1040 | 1041 | 1135 => Symptom::Impaired,
        // Disk full, table full, error writing the binary log.
        1021 | 1026 | 1114 | 1598 => Symptom::Stuck,
        // A bound of our own fired: lock wait, statement time.
        1205 | 1969 | 3024 => Symptom::Impaired,
        // Read-only, replication without a GTID, offline mode: another role than was thought, not death.
        1290 | 1836 | 3032 => Symptom::Impaired,
        // Access denied, host blocked or not allowed, account locked, password expired, TLS wanted, plugin unknown.
        1042..=1045 | 1129 | 1130 | 1226 | 1203 | 1251 | 1275 | 1524 | 1820 | 1862 | 3118 | 3159 | 4151 => {
            Symptom::Wrong
        }
        // No privilege, no such table or schema, unknown variable, syntax: the question was wrong.
        1049 | 1054 | 1064 | 1142 | 1143 | 1146 | 1193 | 1227 => Symptom::Wrong,
        // Unknown to this table, and alive.
        _ => Symptom::Impaired,
    }
}

/// What to do about it, where that is known.
pub fn remedy(code: u16) -> Option<&'static str> {
    Some(match code {
        1040 => "raise max_connections, or find who holds them",
        1044 | 1045 => "correct `user` and the password of this check",
        1129 => "`FLUSH HOSTS` and raise max_connect_errors; something connects without logging in",
        1130 => "create the account for the address that this host connects from",
        1142 | 1143 | 1227 => "grant the account what it lacks",
        1049 | 1146 => "create the table of `write`, on one node only if it replicates",
        1203 | 1226 => "raise the limit of the account",
        1820 | 1862 => "set a new password for the account",
        3118 | 4151 => "unlock the account",
        3159 => "set `tls` in this check",
        1021 | 1026 | 1114 | 1598 => "free space on the server's disk",
        _ => return None,
    })
}

/// Whether an error of replication keeps the server from being promoted (the code of `Last_IO_Errno` or
/// `Last_SQL_Errno`). 2003 and its like only say that the peer is not there.
pub fn breaks_replication(code: u16) -> bool {
    !matches!(code, 0 | 1040 | 1053 | 1158..=1161 | 2002 | 2003 | 2005 | 2006 | 2013 | 2026)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every code by name, so that a change of the table is a change of this test.
    #[test]
    fn codes_mean_what_the_table_says() {
        for (meaning, codes) in [
            (Symptom::Leaving, &[1053][..]),
            (Symptom::Closed, &[1317, 1927, 3168, 4031]),
            (
                Symptom::Wrong,
                &[
                    1042, 1043, 1044, 1045, 1129, 1130, 1203, 1226, 1227, 1251, 1275, 3118, 4151, 1820, 1862,
                    3159, 1193, 1064, 1049, 1054, 1142, 1143, 1146, 1524,
                ],
            ),
            (
                Symptom::Impaired,
                &[1037, 1038, 1040, 1041, 1135, 1969, 3024, 1205, 1290, 1836, 3032, 1105, 1030, 9999],
            ),
            (Symptom::Stuck, &[1021, 1114, 1026, 1598]),
        ] {
            for code in codes {
                assert_eq!(symptom(*code), meaning, "{code}");
            }
        }
    }

    /// The codes for which MHA never fails over.
    #[test]
    fn alive_codes_never_cost_an_address() {
        for code in [1040, 1042, 1043, 1044, 1045, 1129, 1130, 1203, 1226, 1251, 1275] {
            assert!(matches!(symptom(code), Symptom::Wrong | Symptom::Impaired), "{code}");
        }
    }

    #[test]
    fn an_absent_peer_breaks_no_replication_and_divergence_does() {
        for code in [0, 2003, 2013, 1053] {
            assert!(!breaks_replication(code), "{code}");
        }
        for code in [1062, 1032, 1950, 1236, 1593, 1872, 13121, 1045] {
            assert!(breaks_replication(code), "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_code_says_that_a_server_which_answers_is_gone_or_silent(code: u16) {
            prop_assert!(!matches!(symptom(code), Symptom::Gone | Symptom::Timeout | Symptom::Good));
        }
    }
}
