//go:build race

package main

// raceDetector says that the test binary, and so each child, runs ten times slower than it would.
const raceDetector = true
