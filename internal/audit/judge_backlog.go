package audit

import (
	"fmt"
	"time"
)

// minPaced is the shortest time over which the pace of reading a log says anything.
const minPaced = time.Hour

// pace is how many entries a second of a log were proven since it was last level with what the log showed, or since it was taken
// up; false where that is not long enough ago to tell.
func (l LogFacts) pace() (perSecond float64, ok bool) {
	from, at := l.LevelIndex, l.LevelAt
	if at.IsZero() {
		from, at = l.Start, l.TakenUpAt
	}
	if at.IsZero() || l.ProvenAt.Sub(at) < minPaced || l.Proven < from {
		return 0, false
	}
	return float64(l.Proven-from) / l.ProvenAt.Sub(at).Seconds(), true
}

// catchingUp is how long it takes until a log is read to its end at the present pace; never says that it is growing faster than
// it is read. ok is false where the pace is not known.
func (l LogFacts) catchingUp() (left time.Duration, never, ok bool) {
	pace, ok := l.pace()
	if !ok {
		return 0, false, false
	}
	gain := pace - l.GrowthPerSecond
	if l.Frozen {
		gain = pace
	}
	const longest = 100 * 365 * 24 * time.Hour
	seconds := float64(l.Latest-l.Proven) / gain
	if gain <= 0 || seconds > longest.Seconds() {
		return 0, true, true
	}
	return time.Duration(seconds * float64(time.Second)), false, true
}

// backlog judges whether a log is read as fast as it grows. It waits for as long as the rule's grace period, but not where the
// present pace says that it will last longer than that anyway. A log that cannot be read, or that contradicts itself, is not a
// matter of pace.
func (j *Judge) backlog(a *Assessment, l LogFacts, s Subject) {
	if l.NotFollowed {
		return
	}
	j.windowBacklog(a, l, s)
	grace := j.Rules[Backlog].Grace
	switch {
	case !l.Known || l.Rekor1 != nil:
	case !l.FailingSince.IsZero() || len(l.Incidents) > 0:
		a.unknown(s, "the log cannot be read to its end", Backlog)
	case l.Proven < l.Latest && !l.BehindSince.IsZero():
		since, text := l.BehindSince, ""
		switch left, never, ok := l.catchingUp(); {
		case never:
			text = "; at the present pace it is never read to its end"
			since = earlier(since, j.Now.Add(-grace))
		case ok && left > grace:
			text = fmt.Sprintf("; at the present pace it takes about %s more", days(left.Round(roundedTo(left))))
			since = earlier(since, j.Now.Add(-grace))
		}
		a.wrong(j, Backlog, s, since, Finding{
			Summary: "log " + l.Origin + " is not read as fast as it grows", Expected: "a log that is proven up to what it shows within " + days(grace),
			Evidence: []Evidence{{Kind: "backlog", URL: l.URL, At: l.BehindSince, Detail: fmt.Sprintf("about %d entries are not proven yet%s", about(l.Latest-l.Proven), text)}},
		})
	case l.Proven == l.Latest && l.LevelAt.Sub(l.CheckedAt) >= grace && grace > 0:
		// What it took meanwhile was not asked for yet.
		a.wrong(j, Backlog, s, l.CheckedAt, Finding{
			Summary: "log " + l.Origin + " is not read as fast as it grows", Expected: "a log that is proven up to what it shows within " + days(grace),
			Evidence: []Evidence{{Kind: "backlog", URL: l.URL, At: l.CheckedAt, Detail: fmt.Sprintf("what it showed at %s took until %s to be proven",
				l.CheckedAt.UTC().Format(time.RFC3339), l.LevelAt.UTC().Format(time.RFC3339))}},
		})
	}
}

// earlier is the earlier of two instants.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// about rounds a number to its first digit: a finding whose figures change with every pass has a history of nothing else.
func about(n uint64) uint64 {
	unit := uint64(1)
	for n/unit >= 10 {
		unit *= 10
	}
	return n / unit * unit
}

// roundedTo is to what a length of time is rounded for the same reason.
func roundedTo(d time.Duration) time.Duration {
	if d < 2*24*time.Hour {
		return 6 * time.Hour
	}
	return 24 * time.Hour
}

// windowBacklog judges whether the windows of a Rekor v1 are read, where the configuration says that they shall be. What a
// person asked for is the person's to go on with.
func (j *Judge) windowBacklog(a *Assessment, l LogFacts, s Subject) {
	if l.Rekor1 == nil || !l.Windowed {
		return
	}
	var oldest time.Time
	waiting, requests := 0, int64(0)
	for _, w := range l.Rekor1.Windows {
		if w.Finished() || w.Priority == WindowAsked || l.WatchList != "" && w.WatchList != l.WatchList {
			continue
		}
		waiting, requests = waiting+1, requests+w.Estimate()
		if oldest.IsZero() || w.RequestedAt.Before(oldest) {
			oldest = w.RequestedAt
		}
	}
	if waiting == 0 {
		return
	}
	a.wrong(j, Backlog, s, oldest, Finding{
		Summary: fmt.Sprintf("windows of log %s wait to be read", l.Origin), Expected: "a window that is read within " + days(j.Rules[Backlog].Grace),
		Evidence: []Evidence{{Kind: "backlog", URL: l.URL, At: oldest, Detail: fmt.Sprintf("%s, the oldest since %s: about %d requests",
			count(waiting, "window"), oldest.UTC().Format(time.RFC3339), about(uint64(requests)))}},
	})
}
