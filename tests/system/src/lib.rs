//! Whole-system tests on real Docker with real kubectl.
