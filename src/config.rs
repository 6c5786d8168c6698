//! Stub.
mod file;
#[cfg(test)]
mod tests;
