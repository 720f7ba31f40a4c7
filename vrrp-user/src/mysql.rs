//! What MySQL and MariaDB call things: the statements of each flavour, and how their answers read.
//!
//! Pure: strings in, strings and values out. Owns every SQL text of the program but the doctor's questions. Refuses to know
//! connections, deadlines and what follows from an answer.

pub mod flavour;
pub mod gtid;
pub mod replica;
pub mod row;
pub mod semisync;
pub mod state;
pub mod statements;

pub use flavour::{Flavour, Product};
pub use gtid::{Position, PositionError, Relation};
pub use replica::{ReplicaStatus, Thread};
pub use row::Row;
pub use semisync::SemiSync;
pub use state::{ServerState, Writability};
