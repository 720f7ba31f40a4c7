//! YAML as written to checked values.
