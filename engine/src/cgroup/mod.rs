//! cgroups: layout detection, creation, limits, kill, statistics, removal.
