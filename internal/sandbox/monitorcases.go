package sandbox

import "time"

// monitorCases are about the monitor itself: what it does not keep up with, what it trusts, and what it waits for.
func monitorCases() []Case {
	slowly := func(name, about, rule string, crowd uint64) Case {
		return Case{Name: name, About: about, Project: onnxProject, Log: rekor2Host, Rule: rule, Passes: 2, Alone: true, Hourly: 2,
			Apply: func(w *World) error { w.crowd = crowd; return nil }}
	}
	const expiring, canary = "trust-root-expiring", "missed-canary"
	expires := func(name, about, rule string, in time.Duration) Case {
		return Case{Name: name, About: about, Project: onnxProject, Rule: rule, Passes: 2, Alone: true,
			Apply: func(w *World) error {
				far := w.now().AddDate(1, 0, 0)
				return w.TUF.SetExpiry(TUFExpiry{Root: far, Targets: far, Snapshot: far, Timestamp: w.now().Add(in)})
			}}
	}
	const days = 24 * time.Hour
	missed := Case{Name: "no-weekly-build", About: "No weekly build is published for nine days.", Project: weeklyProject, Rule: canary, Passes: 2, Alone: true,
		Apply: nothing, Wait: 9*days + time.Hour}
	late := Case{Name: "late-weekly-build", About: "A weekly build is a day late.", Project: weeklyProject, Tempts: canary, Passes: 2, Alone: true,
		Apply: nothing, Wait: 8 * days}
	return shownBy(Sources, []Case{
		slowly("slow-reading", "A log grows faster than the budget of its host has it read.", "backlog", 5000),
		slowly("slow-reading-that-keeps-up", "A log is read slowly, and fast enough.", "", 300).tempts("backlog"),
		expires("trust-root-not-renewed", "The metadata of the trusted root is not renewed, and ends in less than two days.", expiring, 47*time.Hour),
		expires("trust-root-renewed-weekly", "The metadata of the trusted root lives for a week, and is renewed in time.", "", 7*days).tempts(expiring),
		missed, late,
	})
}
