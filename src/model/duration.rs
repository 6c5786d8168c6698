//! Prometheus durations: `5m`, `1h30m`.
