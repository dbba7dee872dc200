//! OCI specification, root mounts and stdio in; a parked process out.
