package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/rekor"
)

// TestCoverageSaysNoMoreThanWasLookedAt states what is known of logs in every state.
func TestCoverageSaysNoMoreThanWasLookedAt(t *testing.T) {
	proven := func(from, to uint64, list string) ProvenRange {
		return ProvenRange{From: from, To: to, WatchList: list}
	}
	followed := func(edit func(*LogFacts)) LogFacts {
		l := LogFacts{Origin: "log", Kind: "rekor-v2", Known: true, Start: 100, Read: 300, Proven: 300, Latest: 300, Ranges: []ProvenRange{proven(100, 300, "today")}}
		edit(&l)
		return l
	}
	byName := func(f Rekor1Facts) LogFacts { return LogFacts{Origin: "log", Kind: "rekor-v1", Rekor1: &f} }
	supported := IndexSupport{Subject: rekor.V1Supported}
	tally := SearchTally{Kind: SearchSubject, Total: 3, Answered: 2, Failing: 1, Hits: 7, First: noon, Last: noon.Add(time.Hour)}
	for name, c := range map[string]struct {
		log  LogFacts
		span Span
		text string
		want []CoveredPart
	}{
		"followed from an index": {followed(func(*LogFacts) {}), Span{To: 300},
			"log log: entries 100 to 299 proven complete; what lies before entry 100 was not looked at",
			[]CoveredPart{{How: NotLookedAt, To: 100}, {How: Proven, From: 100, To: 300}}},
		"behind": {followed(func(l *LogFacts) { l.Latest, l.Start = 400, 0; l.Ranges[0].From = 0 }), Span{To: 400},
			"log log: entries 0 to 299 proven complete, 100 behind",
			[]CoveredPart{{How: Proven, To: 300}, {How: NotLookedAt, From: 300, To: 400}}},
		"taken up at its head": {followed(func(l *LogFacts) { l.Start, l.Ranges = 300, nil }), Span{To: 300},
			"log log: no entry proven yet; what lies before entry 300 was not looked at",
			[]CoveredPart{{How: NotLookedAt, To: 300}}},
		"partly with another watch list": {followed(func(l *LogFacts) { l.Ranges = []ProvenRange{proven(100, 250, "before"), proven(250, 300, "today")} }), Span{To: 300},
			"log log: entries 100 to 299 proven complete; what lies before entry 100 was not looked at; 150 entries were read with another watch list, and not looked at again: `monitor follow --reread` does",
			[]CoveredPart{{How: NotLookedAt, To: 100}, {How: ProvenOtherwise, From: 100, To: 250}, {How: Proven, From: 250, To: 300}}},
		"a period of it": {followed(func(l *LogFacts) { l.Ranges = []ProvenRange{proven(100, 250, "before"), proven(250, 300, "today")} }), Span{Since: noon, From: 200, To: 260},
			"log log: entries 200 to 259 proven complete; 50 entries were read with another watch list, and not looked at again: `monitor follow --reread` does",
			[]CoveredPart{{How: ProvenOtherwise, From: 200, To: 250}, {How: Proven, From: 250, To: 260}}},
		"a period without an entry": {followed(func(*LogFacts) {}), Span{Since: noon, From: 300, To: 300},
			"log log: it showed no new entry in the period", []CoveredPart{}},
		"a period before it was taken up": {followed(func(*LogFacts) {}), Span{Since: noon, From: 20, To: 60},
			"log log: no entry proven yet; what lies before entry 100 was not looked at", []CoveredPart{{How: NotLookedAt, From: 20, To: 60}}},
		"a shard": {LogFacts{Origin: "log - 7", Kind: "rekor-v1", Latest: 9, Shard: &ShardFacts{Log: "log"}}, Span{To: 9},
			"log log - 7: a shard of log, of 9 entries: what is said of that holds for it", []CoveredPart{}},
		"a shard that is followed": {followed(func(l *LogFacts) { l.Shard, l.Start, l.Ranges[0].From = &ShardFacts{Log: "whole"}, 0, 0 }), Span{To: 300},
			"log log: entries 0 to 299 proven complete", []CoveredPart{{How: Proven, To: 300}}},
		"by name, and nothing yet": {byName(Rekor1Facts{}), Span{To: 50},
			"log log: none of 50 entries was looked at yet", []CoveredPart{{How: NotLookedAt, To: 50}}},
		"by name": {byName(Rekor1Facts{Subject: supported, Searches: []SearchTally{tally}, Entries: map[EntryOutcome]int{EntrySame: 5, EntryUnknown: 2, EntryDiffers: 1, EntryMissing: 1}}), Span{From: 10, To: 50},
			"log log: not read in full; of 40 entries, single ones were found and proven: 5 that bundles name and that the log has so; " +
				"by searches for exact subjects, 2 of 3 answered (the last answers are from 2026-11-02T12:00:00Z to 2026-11-02T13:00:00Z), 1 not when last asked; " +
				"what else there is was not looked at; 2 of bundles not asked for yet or not answered; 2 of bundles that it does not have so",
			[]CoveredPart{{How: Discovered, From: 10, To: 50, By: []SearchTally{tally}, Bundles: 5}}},
		"by name, of an index that ignores subjects": {byName(Rekor1Facts{Subject: IndexSupport{Subject: rekor.V1Ignored}, Searches: []SearchTally{{Kind: SearchSubject, Total: 3}}}), Span{To: 50},
			"log log: not read in full; of 50 entries, single ones were found and proven: by 3 exact subjects not searched for, since the index ignores such questions; what else there is was not looked at",
			[]CoveredPart{{How: Discovered, To: 50, By: []SearchTally{{Kind: SearchSubject, Total: 3}}}}},
		"by name, of an index that did not tell": {byName(Rekor1Facts{Subject: IndexSupport{Subject: rekor.V1Unknown, Why: "503"}, Searches: []SearchTally{{Kind: SearchSubject, Total: 3}}}), Span{To: 50},
			"log log: not read in full; of 50 entries, single ones were found and proven: by 3 exact subjects not searched for, since the index did not tell whether it knows them: 503; what else there is was not looked at",
			[]CoveredPart{{How: Discovered, To: 50, By: []SearchTally{{Kind: SearchSubject, Total: 3}}}}},
	} {
		want := Coverage{Log: c.log.Origin, Kind: c.log.Kind, Since: c.span.Since, Parts: c.want, Text: c.text}
		if diff := cmp.Diff(want, CoverageOf(c.log, "today", c.span)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestCoverageKnowsWindowsAndFollowedShards states what is known of a Rekor v1 of which more was read than what is known by name.
func TestCoverageKnowsWindowsAndFollowedShards(t *testing.T) {
	window := func(first, from, proven uint64, list string) WindowFacts {
		return WindowFacts{First: first, WatchList: list, Window: Window{From: from, To: 100, State: &rekor.V1Window{First: from, Proven: proven}}}
	}
	windows := []WindowFacts{window(0, 5, 15, "today"), window(50, 0, 10, "before"), {First: 50, WatchList: "today", Window: Window{From: 20, To: 30}}}
	named := map[EntryOutcome]int{EntrySame: 5}
	for name, c := range map[string]struct {
		facts Rekor1Facts
		text  string
		want  []CoveredPart
	}{
		"windows alone": {Rekor1Facts{Windows: windows},
			"log log: none of 90 entries was asked for by name yet; 5 entries were proven complete in windows; what else there is was not looked at",
			[]CoveredPart{{How: NotLookedAt, From: 10, To: 100}, {How: Proven, From: 10, To: 15}, {How: ProvenOtherwise, From: 50, To: 60}}},
		"windows, and by name": {Rekor1Facts{Windows: windows, Entries: named},
			"log log: not read in full; of 90 entries, single ones were found and proven: 5 that bundles name and that the log has so; 5 entries were proven complete in windows; what else there is was not looked at",
			[]CoveredPart{{How: Discovered, From: 10, To: 100, Bundles: 5}, {How: Proven, From: 10, To: 15}, {How: ProvenOtherwise, From: 50, To: 60}}},
		"followed shards": {Rekor1Facts{Followed: true, Entries: named},
			"log log: of 90 entries, single ones were found and proven: 5 that bundles name and that the log has so; its shards are followed, of which is said what was read",
			[]CoveredPart{{How: Discovered, From: 10, To: 100, Bundles: 5}}},
		"followed shards alone": {Rekor1Facts{Followed: true},
			"log log: none of 90 entries was asked for by name yet; its shards are followed, of which is said what was read", []CoveredPart{}},
	} {
		got := CoverageOf(LogFacts{Origin: "log", Kind: "rekor-v1", Rekor1: &c.facts}, "today", Span{From: 10, To: 100})
		if diff := cmp.Diff(Coverage{Log: "log", Kind: "rekor-v1", Parts: c.want, Text: c.text}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
