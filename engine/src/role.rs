//! Roles: what the executable does when it was started by itself.
