//! The same in short against a real API server.
