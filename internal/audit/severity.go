package audit

import "fmt"

// Severity says how soon a person must act.
type Severity string

// The severities, most urgent first.
const (
	Critical Severity = "critical" // act now
	High     Severity = "high"     // act today
	Medium   Severity = "medium"   // this week
	Low      Severity = "low"
	Info     Severity = "info"
)

// Severities lists all severities, most urgent first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low, Info} }

// Rank orders severities: 0 is the most urgent. An unknown severity ranks as the most urgent, so that a
// record written by a newer version is never taken lightly.
func (s Severity) Rank() int {
	for i, known := range Severities() {
		if s == known {
			return i
		}
	}
	return 0
}

// AtLeast reports whether s is as urgent as floor, or more.
func (s Severity) AtLeast(floor Severity) bool { return s.Rank() <= floor.Rank() }

// ParseSeverity accepts the five names.
func ParseSeverity(s string) (Severity, error) {
	for _, known := range Severities() {
		if s == string(known) {
			return known, nil
		}
	}
	return "", fmt.Errorf("unknown severity %q: use critical, high, medium, low or info", s)
}
