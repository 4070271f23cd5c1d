package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
)

// How says in which way a part of a log is covered.
type How string

// The ways.
const (
	// Proven: a verified root commits to every entry, and each was looked at.
	Proven How = "proven-complete"
	// ProvenOtherwise: proven, and looked at with another watch list than today's.
	ProvenOtherwise How = "proven-with-another-watch-list"
	// Discovered: single entries were found and proven. There may be others.
	Discovered How = "discovered"
	// NotLookedAt is what nobody read.
	NotLookedAt How = "not-looked-at"
)

// Coverage is what the record knows of one log. Nothing that is said of the log may say more.
type Coverage struct {
	Log  string `json:"log"`
	Kind string `json:"kind"`
	// Since and Until bound the period that it is about; zero for all that is on record.
	Since time.Time     `json:"since,omitzero"`
	Until time.Time     `json:"until,omitzero"`
	Parts []CoveredPart `json:"parts"`
	// Text says the same in words.
	Text string `json:"text"`
}

// CoveredPart is a run of entries of a log and how it is covered. Indexes are the tree's, and of a Rekor v1 as a whole global.
type CoveredPart struct {
	How  How    `json:"how"`
	From uint64 `json:"from"`
	// To is the index after the last.
	To uint64 `json:"to"`
	// By are the questions that single entries were searched for with, and Bundles counts those that bundles name and that the
	// log has so.
	By      []SearchTally `json:"by,omitempty"`
	Bundles int           `json:"bundles,omitempty"`
}

// Span is the run of entries that a log took in a period, as far as that was seen: an entry counts to the period in which the
// log first showed a tree that has it.
type Span struct {
	Since, Until time.Time
	// From and To are indexes.
	From, To uint64
}

// CoverageOf says what is known of the entries of one log in a span. watchList names today's.
func CoverageOf(l LogFacts, watchList string, span Span) Coverage {
	c := Coverage{Log: l.Origin, Kind: l.Kind, Since: span.Since, Until: span.Until, Parts: []CoveredPart{}}
	switch {
	case l.Rekor1 != nil:
		c.byName(l, watchList, span)
	case l.Shard != nil && !l.Known:
		c.Text = fmt.Sprintf("log %s: a shard of %s, of %d entries: what is said of that holds for it", l.Origin, l.Shard.Log, l.Latest)
	default:
		c.byRange(l, watchList, span)
	}
	return c
}

// byRange is the coverage of a log that is followed.
func (c *Coverage) byRange(l LogFacts, watchList string, s Span) {
	var otherwise uint64
	add := func(how How, from, to uint64) {
		if from, to = max(from, s.From), min(to, s.To); from < to {
			c.Parts = append(c.Parts, CoveredPart{How: how, From: from, To: to})
		}
	}
	add(NotLookedAt, 0, l.Start)
	for _, r := range l.Ranges {
		how := Proven
		if r.WatchList != watchList {
			how = ProvenOtherwise
			otherwise += max(min(r.To, s.To), s.From) - max(min(r.From, s.To), s.From)
		}
		add(how, r.From, r.To)
	}
	add(NotLookedAt, l.Proven, s.To)

	text := fmt.Sprintf("log %s: no entry proven yet", l.Origin)
	from, to := max(l.Start, s.From), min(l.Proven, s.To)
	switch {
	case from < to:
		text = fmt.Sprintf("log %s: entries %d to %d proven complete", l.Origin, from, to-1)
	case !s.Since.IsZero() && s.From == s.To:
		text = fmt.Sprintf("log %s: it showed no new entry in the period", l.Origin)
	}
	if s.To > max(l.Proven, s.From) {
		text += fmt.Sprintf(", %d behind", s.To-max(l.Proven, s.From))
	}
	if l.Start > s.From {
		text += fmt.Sprintf("; what lies before entry %d was not looked at", l.Start)
	}
	if otherwise > 0 {
		text += fmt.Sprintf("; %d entries were read with another watch list, and not looked at again: `monitor follow --reread` does", otherwise)
	}
	c.Text = text
}

// byName is the coverage of a Rekor v1, of which single entries are known.
func (c *Coverage) byName(l LogFacts, watchList string, s Span) {
	f, size := l.Rekor1, s.To-min(s.From, s.To)
	part := CoveredPart{How: Discovered, From: s.From, To: s.To, By: f.Searches, Bundles: f.Entries[EntrySame]}
	var by []string
	if part.Bundles > 0 {
		by = append(by, fmt.Sprintf("%d that bundles name and that the log has so", part.Bundles))
	}
	for _, t := range f.Searches {
		by = append(by, t.describe(f.Subject))
	}
	windows, read := l.windows(watchList, s)
	rest := "what else there is was not looked at"
	switch {
	case f.Followed:
		rest = "its shards are followed, of which is said what was read"
	case read > 0:
		rest = fmt.Sprintf("%d entries were proven complete in windows; %s", read, rest)
	}
	switch {
	case len(by) > 0:
		c.Text = fmt.Sprintf("log %s: not read in full; of %d entries, single ones were found and proven: %s; %s", l.Origin, size, strings.Join(by, "; "), rest)
		if f.Followed {
			c.Text = fmt.Sprintf("log %s: of %d entries, single ones were found and proven: %s; %s", l.Origin, size, strings.Join(by, "; "), rest)
		}
	case f.Followed || read > 0:
		part.How = NotLookedAt
		c.Text = fmt.Sprintf("log %s: none of %d entries was asked for by name yet; %s", l.Origin, size, rest)
	default:
		part.How = NotLookedAt
		c.Text = fmt.Sprintf("log %s: none of %d entries was looked at yet", l.Origin, size)
	}
	if size > 0 && !(f.Followed && part.How == NotLookedAt) {
		c.Parts = append(c.Parts, part)
	}
	c.Parts = append(c.Parts, windows...)
	for _, open := range []struct {
		n    int
		what string
	}{{f.Entries[EntryUnknown], "of bundles not asked for yet or not answered"}, {f.Entries[EntryDiffers] + f.Entries[EntryMissing], "of bundles that it does not have so"}} {
		if open.n > 0 {
			c.Text += fmt.Sprintf("; %d %s", open.n, open.what)
		}
	}
}

// windows are the parts of a Rekor v1 that windows prove complete, by global index, and how many entries these have. Windows of
// one shard overlap only where another watch list was used.
func (l LogFacts) windows(watchList string, s Span) (parts []CoveredPart, entries uint64) {
	for _, w := range l.Rekor1.Windows {
		part := CoveredPart{How: Proven, From: max(w.First+w.From, s.From), To: min(w.First+w.Proven(), s.To)}
		if part.From >= part.To {
			continue
		}
		if w.WatchList == watchList {
			entries += part.To - part.From
		} else {
			part.How = ProvenOtherwise
		}
		parts = append(parts, part)
	}
	return parts, entries
}

// describe says which questions of a kind the index answered, and when.
func (t SearchTally) describe(support IndexSupport) string {
	what := map[string]string{SearchDigest: "the digests of files", SearchSubject: "exact subjects", SearchCertificate: "final certificates"}[t.Kind]
	if t.Kind == SearchSubject && support.Subject != rekor.V1Supported {
		return fmt.Sprintf("by %d %s not searched for, since the index %s", t.Total, what, map[rekor.V1Support]string{
			rekor.V1Ignored: "ignores such questions", rekor.V1Refused: "refuses such questions"}[support.Subject]+unknownSupport(support))
	}
	text := fmt.Sprintf("by searches for %s, %d of %d answered", what, t.Answered, t.Total)
	if !t.First.IsZero() {
		text += fmt.Sprintf(" (the last answers are from %s to %s)", t.First.UTC().Format(time.RFC3339), t.Last.UTC().Format(time.RFC3339))
	}
	if t.Failing > 0 {
		text += fmt.Sprintf(", %d not when last asked", t.Failing)
	}
	if t.Impossible > 0 {
		text += fmt.Sprintf(", %d that no index takes", t.Impossible)
	}
	return text
}

// unknownSupport says why it is not known whether an index knows subjects.
func unknownSupport(s IndexSupport) string {
	if s.Subject == rekor.V1Ignored || s.Subject == rekor.V1Refused {
		return ""
	}
	if s.Why == "" {
		return "was not probed yet"
	}
	return "did not tell whether it knows them: " + oneLine(s.Why, 200)
}
