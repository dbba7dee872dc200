//! Containers: records and life cycle.
