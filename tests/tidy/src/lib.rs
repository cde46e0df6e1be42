//! The project's own rules, checked as tests.
