package audit

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/rekor"
)

// TestWhatALogHasInThePlaceOfAnEntry judges each outcome: what is not known neither opens nor resolves a finding.
func TestWhatALogHasInThePlaceOfAnEntry(t *testing.T) {
	entry := OpenEntry{Origin: "rekor.example - 7", Index: 3, GlobalIndex: 13, LeafHash: "aa", File: "onnx.whl", FileSHA256: "bb", Since: noon}
	about := Subject{LogOrigin: "rekor.example - 7", LogIndex: 3, LeafHash: "aa", File: "onnx.whl", SHA256: "bb"}

	entry.Failure = "503"
	want := Assessment{Unknowns: []Unknown{{Rule: UnloggedAttestation, Subject: about, Reason: "the log was asked for it: 503"}}}
	if diff := cmp.Diff(want, onnxJudge(noon).Entry(entry)); diff != "" {
		t.Error(diff)
	}
	for outcome, summary := range map[EntryOutcome]string{
		EntryMissing: "log rekor.example - 7 has nothing at its place, though the tree that it signed is larger: entry 13, which a verified attestation of onnx.whl names",
		EntryDiffers: "log rekor.example - 7 has it otherwise: body: the bundle has x, the log y: entry 13, which a verified attestation of onnx.whl names",
	} {
		entry.Outcome, entry.Differences = outcome, []rekor.V1Difference{{Check: rekor.V1CheckBody, Bundle: "x", Log: "y"}}
		a := onnxJudge(noon).Entry(entry)
		if len(a.Findings) != 1 || len(a.Unknowns) > 0 {
			t.Fatalf("%s: %+v", outcome, a)
		}
		f := a.Findings[0]
		if f.Rule != UnloggedAttestation || f.Severity != High || f.Subject != about || f.Summary != summary || f.Log.GlobalIndex != 13 {
			t.Errorf("%s: %+v", outcome, f)
		}
	}
}

// TestQuestionsThatAreNotAnsweredAreAFindingInTheEnd fails in two ways, of which one has lasted for the grace period.
func TestQuestionsThatAreNotAnsweredAreAFindingInTheEnd(t *testing.T) {
	l := LogFacts{Origin: "rekor.example", Kind: "rekor-v1", Rekor1: &Rekor1Facts{Failing: []Failing{
		{What: "2 questions about digests", Since: noon.Add(-6 * time.Hour), Example: "503"},
		{What: "1 question about entries", Since: noon.Add(-time.Hour), Example: "a proof that fits neither"},
	}}}
	a := onnxJudge(noon).Log(l)
	if got := rules(a); !cmp.Equal(got, []string{SourceUnreachable}) || len(a.Waiting) != 1 || a.Findings[0].Summary != "log rekor.example does not answer 2 questions about digests" {
		t.Errorf("%v, %+v", got, a)
	}
	l.NotFollowed = true
	if a := onnxJudge(noon).Log(l); len(a.Findings)+len(a.Waiting) > 0 {
		t.Errorf("a log that nobody asks: %+v", a)
	}
}

// TestAShardStandsAsItsLog gives a shard what is said of the whole.
func TestAShardStandsAsItsLog(t *testing.T) {
	standings := map[string]LogStanding{"rekor.example": {NotFollowed: true}, "other": {Frozen: true}}
	for name, c := range map[string]struct {
		log  LogFacts
		want LogStanding
	}{
		"an active shard": {LogFacts{Origin: "rekor.example - 7", Shard: &ShardFacts{Log: "rekor.example"}}, LogStanding{NotFollowed: true}},
		"a frozen shard":  {LogFacts{Origin: "rekor.example - 7", Shard: &ShardFacts{Log: "third", Frozen: true}}, LogStanding{Frozen: true}},
		"of an ended log": {LogFacts{Origin: "other - 7", Shard: &ShardFacts{Log: "other"}}, LogStanding{Frozen: true}},
		"no shard":        {LogFacts{Origin: "other"}, LogStanding{Frozen: true}},
	} {
		if got := standingOf(c.log, standings); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// A shard that does not grow for a day is stale although nobody reads it in full.
	stale := LogFacts{Origin: "rekor.example - 7", GrewAt: noon.Add(-25 * time.Hour), CheckedAt: noon, Shard: &ShardFacts{Log: "rekor.example"}}
	if got := rules(onnxJudge(noon).Log(stale)); !cmp.Equal(got, []string{StaleLog}) {
		t.Errorf("%v", got)
	}
}

// TestABudgetKeepsASharePerUrgency counts what may still be asked for each kind of work.
func TestABudgetKeepsASharePerUrgency(t *testing.T) {
	for _, c := range []struct {
		budget              Rekor1Budget
		today               int
		all, backfill, bulk int
	}{
		{Rekor1Budget{}, 1 << 20, math.MaxInt, math.MaxInt, math.MaxInt},
		{Rekor1Budget{Pass: 60}, 1 << 20, 60, 30, math.MaxInt},
		{Rekor1Budget{Pass: 1}, 0, 1, 1, math.MaxInt},
		{Rekor1Budget{Pass: 60, Day: 1000}, 480, 60, 30, 270},
		{Rekor1Budget{Pass: 60, Day: 1000}, 750, 60, 30, 0},
		{Rekor1Budget{Pass: 60, Day: 1000}, 855, 60, 20, 0},
		{Rekor1Budget{Pass: 60, Day: 1000}, 875, 60, 0, 0},
		{Rekor1Budget{Pass: 60, Day: 1000}, 990, 10, 0, 0},
		{Rekor1Budget{Day: 1000}, 2000, 0, 0, 0},
	} {
		all, backfill, bulk := c.budget.urgent(c.today), c.budget.backfill(c.today), c.budget.Bulk(c.today)
		if all != c.all || backfill != c.backfill || bulk != c.bulk {
			t.Errorf("%+v after %d: %d, %d and %d, want %d, %d and %d", c.budget, c.today, all, backfill, bulk, c.all, c.backfill, c.bulk)
		}
	}
}
