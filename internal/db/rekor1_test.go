package db

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// shardOrigin is the second shard of the Rekor v1 of these tests, whose first entry has the global index 3.
const shardOrigin = "rekor1.example - 8"

// shardNote is a checkpoint of a tree of so many leaves, as the record may have it: nobody signed it.
func shardNote(origin string, size uint64) tlog.SignedCheckpoint {
	cp := checkpoint(size)
	cp.Origin, cp.Cosigners = origin, nil
	cp.Raw = fmt.Appendf(nil, "%s\n%d\n%s\n\n— rekor1.example AAAAAAAA\n", origin, size, base64.StdEncoding.EncodeToString(cp.Root[:]))
	return cp
}

// shardEntry is the first entry of the shard, proven in the tree that it is all of.
func shardEntry() *rekor.V1Entry {
	return &rekor.V1Entry{TreeID: 8, GlobalIndex: 3, LogID: "c0ff", LeafHash: tlog.LeafHash(leaf(0)), Body: leaf(0), IntegratedTime: noon, Checkpoint: shardNote(shardOrigin, 1)}
}

// openRekor1 is the record of the log of these tests.
func openRekor1(db *DB) (*Rekor1, error) {
	return db.Rekor1(context.Background(), "rekor1.example", "https://rekor1.example", []string{"c0ff"})
}

// withRekor1 adds a log with two shards, and an attestation of the record's one file that names an entry of the second.
func withRekor1(db *DB) error {
	ctx := context.Background()
	r, err := openRekor1(db)
	if err != nil {
		return err
	}
	// Something was searched for already, and is not due for years.
	if _, err := db.w.Exec(`INSERT INTO searches (id, log_id, kind, value, fresh_at, first_seen, due_at) VALUES (1, ?, 'digest', 'aa', 0, 0, ?)`, r.id, micros(hour(24*3650))); err != nil {
		return err
	}
	body := leaf(0)
	hash := tlog.LeafHash(body)
	id := identity.Identity{SAN: "https://github.com/onnx/onnx/x", Issuer: identity.GitHubActionsIssuer}
	verified := audit.VerifiedAttestation{Facts: audit.AttestationFacts{Status: attest.Verified}, Identity: &id,
		Certificate: &attest.Certificate{IssuerKeyHash: "ca", TBSHash: "tbs", SHA256: "cert", Serial: "1", NotBefore: noon, NotAfter: hour(1)},
		Entries: []attest.Entry{{LogID: "c0ff", Origin: shardOrigin, TreeID: "8", LogIndex: 3, IntegratedTime: noon, Kind: "dsse", APIVersion: "0.0.1",
			Body: body, LeafHash: hex.EncodeToString(hash[:]), Checkpoint: string(shardNote(shardOrigin, 2).Raw), InclusionProven: true}}}
	return errors.Join(
		r.SawShards(ctx, hour(1), []audit.SeenShard{{Position: 0, Checkpoint: shardNote("rekor1.example - 7", 3)}, {Position: 1, Checkpoint: shardNote(shardOrigin, 4)}}),
		db.SaveProvenance(ctx, hour(1), 1, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("Z"), ETag: "z",
			Verification: audit.Verification{VerifiedWith: "1", Attestations: []audit.VerifiedAttestation{verified}}}),
	)
}

// anyone watches everybody.
func anyone(identity.Identity) bool { return true }

// Writes that pass a failpoint, for the kill tests.
var rekor1Kills = map[string]func(*Rekor1) error{
	"db/shards-uncommitted": func(r *Rekor1) error {
		return r.SawShards(context.Background(), hour(5), []audit.SeenShard{{Position: 1, Checkpoint: shardNote(shardOrigin, 9)}, {Position: 2, Checkpoint: shardNote("rekor1.example - 9", 1)}})
	},
	"db/checks-uncommitted": func(r *Rekor1) error {
		due, err := r.DueEntries(context.Background(), hour(5), 10)
		if err != nil || len(due) != 1 {
			return fmt.Errorf("%d entries are due: %w", len(due), err)
		}
		return r.SaveChecks(context.Background(), hour(5), []audit.EntryCheck{{DueEntry: due[0], Outcome: audit.EntrySame, Entry: shardEntry()}}, []tlog.SignedCheckpoint{shardNote(shardOrigin, 6)})
	},
	"db/gossip-uncommitted": func(r *Rekor1) error {
		due, err := r.DueGossip(context.Background(), hour(5), 10)
		if err != nil || len(due) != 1 {
			return fmt.Errorf("%d checkpoints are due: %w", len(due), err)
		}
		due[0].SplitView = &tlog.Misbehaviour{Kind: tlog.KindSplitView, Detail: "two trees"}
		return r.SaveGossip(context.Background(), hour(5), due[0])
	},
	"db/plan-uncommitted": func(r *Rekor1) error { return r.PlanSearches(context.Background(), hour(5), "list 1", anyone) },
	"db/found-uncommitted": func(r *Rekor1) error {
		h := hit(0)
		return r.SaveFound(context.Background(), hour(5), 1, "list 1", []audit.Found{{Entry: shardEntry(), Match: rekor.V1Confirmed, Hit: &h}}, nil)
	},
}

// killRekor1 makes a kill of a write to the log's record.
func killRekor1(name string) func(*DB) error {
	return func(db *DB) error {
		r, err := openRekor1(db)
		if err != nil {
			return err
		}
		return rekor1Kills[name](r)
	}
}

func rekor1Record(t *testing.T) (*DB, *Rekor1) {
	t.Helper()
	db, _, _ := oneFile(t)
	if err := withRekor1(db); err != nil {
		t.Fatal(err)
	}
	r, err := openRekor1(db)
	if err != nil {
		t.Fatal(err)
	}
	return db, r
}

// TestWhatWasFoundOutOfAnEntryStaysUntilAnotherIs asks for an entry again and again.
func TestWhatWasFoundOutOfAnEntryStaysUntilAnotherIs(t *testing.T) {
	ctx := context.Background()
	db, r := rekor1Record(t)
	difference := []rekor.V1Difference{{Check: rekor.V1CheckBody, Bundle: "x", Log: "y"}}
	for i, step := range []struct {
		outcome audit.EntryOutcome
		due     time.Time
		want    string
	}{
		{audit.EntryUnknown, hour(3), `{"":1} since 13, failing`},
		{audit.EntryDiffers, hour(4), `{"differs":1} since 15`},
		{audit.EntryUnknown, hour(5), `{"differs":1} since 15, failing`},
		{audit.EntryDiffers, hour(6), `{"differs":1} since 15`},
		{audit.EntryMissing, hour(7), `{"missing":1} since 18`},
		{audit.EntrySame, time.Time{}, `{"same":1}`},
	} {
		now := hour(i + 2)
		due, err := r.DueEntries(ctx, now, 10)
		if err != nil || len(due) != 1 {
			t.Fatalf("step %d: %d entries are due, %v", i, len(due), err)
		}
		c := audit.EntryCheck{DueEntry: due[0], Outcome: step.outcome, Due: step.due}
		switch step.outcome {
		case audit.EntryUnknown:
			c.Failure = "503"
		case audit.EntryDiffers:
			c.Differences, c.Entry = difference, shardEntry()
		case audit.EntrySame:
			c.Entry = shardEntry()
		}
		if err := r.SaveChecks(ctx, now, []audit.EntryCheck{c}, nil); err != nil {
			t.Fatal(err)
		}
		got := ""
		logs, err := db.Logs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			if l.Rekor1 == nil {
				continue
			}
			for outcome, n := range l.Rekor1.Entries {
				got = fmt.Sprintf("{%q:%d}", outcome, n)
			}
			if err := db.OpenEntries(ctx, func(e audit.OpenEntry) error {
				got += fmt.Sprintf(" since %d", e.Since.Hour())
				if (e.Evidence.Log != nil) != (e.Outcome == audit.EntryDiffers) || e.File != "a-1.0.whl" {
					t.Errorf("step %d: %+v", i, e)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(l.Rekor1.Failing) > 0 {
				got += ", failing"
			}
		}
		if got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
	if due, err := r.DueEntries(ctx, hour(24*365), 10); err != nil || len(due) > 0 {
		t.Errorf("what was found the same is asked for again: %+v, %v", due, err)
	}
}

// TestNewNamesAreAskedForAtOnce plans, asks, and has a new certificate of a known subject come.
func TestNewNamesAreAskedForAtOnce(t *testing.T) {
	ctx := context.Background()
	db, r := rekor1Record(t)
	due := func(now time.Time, subjects bool) []string {
		t.Helper()
		var all []string
		for range 10 {
			s, err := r.DueSearch(ctx, now, audit.DueFilter{Subjects: subjects, UrgentSince: now.Add(-24 * time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			if s == nil {
				return all
			}
			all = append(all, s.Kind+" "+s.Value)
			s.Outcome, s.Due = audit.SearchAnswered, now.Add(10*24*time.Hour)
			if err := r.SaveSearch(ctx, now, *s); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("there is no end")
		return nil
	}
	strangers := func(identity.Identity) bool { return false }
	if err := r.PlanSearches(ctx, hour(1), "list 1", strangers); err != nil {
		t.Fatal(err)
	}
	if got := due(hour(1), true); len(got) > 0 { // "aa" is no digest
		t.Errorf("due for strangers: %q", got)
	}
	if err := r.PlanSearches(ctx, hour(1), "list 1", anyone); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"subject https://github.com/onnx/onnx/x"}, due(hour(1), true)); diff != "" {
		t.Error(diff)
	}
	if _, err := db.w.Exec(`INSERT INTO certificates (issuer_key_hash, tbs_sha256, serial, not_before, not_after, san, issuer, identity, first_seen)
		VALUES ('ca', 'tbs 2', '2', ?, 0, 'https://github.com/onnx/onnx/x', '', 'null', 0)`, micros(hour(2))); err != nil {
		t.Fatal(err)
	}
	if got := due(hour(3), true); len(got) > 0 {
		t.Errorf("due before it was planned: %q", got)
	}
	if err := r.PlanSearches(ctx, hour(3), "list 1", anyone); err != nil {
		t.Fatal(err)
	}
	if got := due(hour(3), false); len(got) > 0 {
		t.Errorf("an index that does not know subjects is asked for %q", got)
	}
	if diff := cmp.Diff([]string{"subject https://github.com/onnx/onnx/x"}, due(hour(3), true)); diff != "" {
		t.Error(diff)
	}
}

// TestFsckProvesWhatWasFoundByNameAgain alters a hit's proof, and a bundle's checkpoint.
func TestFsckProvesWhatWasFoundByNameAgain(t *testing.T) {
	db, _ := rekor1Record(t)
	if err := killRekor1("db/found-uncommitted")(db); err != nil {
		t.Fatal(err)
	}
	if problems := fsckProblems(t, db); len(problems) > 0 {
		t.Fatalf("problems: %q", problems)
	}
	if got := hits(t, db, HitFilter{}); len(got) != 1 {
		t.Errorf("hits that count: %v", got)
	}
	for _, query := range []string{
		`UPDATE hits SET proof = json_set(proof, '$.index', 1)`,
		`UPDATE gossip SET size = 3`,
	} {
		if _, err := db.w.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	if problems := fsckProblems(t, db); len(problems) != 2 {
		t.Errorf("problems: %q", problems)
	}
}

// TestWhatWasFoundByNameSurvivesARewind follows the shard too, which then takes back what it read.
func TestWhatWasFoundByNameSurvivesARewind(t *testing.T) {
	ctx := context.Background()
	db, r := rekor1Record(t)
	if err := killRekor1("db/found-uncommitted")(db); err != nil {
		t.Fatal(err)
	}
	l, err := db.Log(ctx, LogName{Origin: shardOrigin, Kind: kindRekor1, KeyID: "c0ff", URL: "https://rekor1.example"}, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Begin(ctx, hour(5), 0, nil, shardNote(shardOrigin, 9)), l.Advance(ctx, hour(5), batch(0, 4)),
		l.Misbehaved(ctx, hour(5), &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, To: 4})); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{0}, hits(t, db, HitFilter{Unproven: true})); diff != "" {
		t.Error(diff)
	}
	if shards, err := r.Shards(ctx); err != nil || len(shards) != 2 || shards[1].Checkpoint.Size != 9 {
		t.Errorf("shards: %+v, %v", shards, err)
	}
}

// TestWhatAFollowerCouldNotReadIsNotTakenBackByAListOfShards has a shard fail that its log still lists.
func TestWhatAFollowerCouldNotReadIsNotTakenBackByAListOfShards(t *testing.T) {
	ctx := context.Background()
	db, r := rekor1Record(t)
	shard, err := db.Log(ctx, LogName{Origin: shardOrigin, Kind: kindRekor1, KeyID: "c0ff", URL: "https://rekor1.example"}, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		followed bool
		since    time.Time
	}{{true, hour(2)}, {false, time.Time{}}} {
		r.ShardsFollowed = c.followed
		if err := errors.Join(shard.Failed(ctx, hour(2), "503"), r.SawShards(ctx, hour(3), []audit.SeenShard{{Position: 1, Checkpoint: shardNote(shardOrigin, 5)}})); err != nil {
			t.Fatal(err)
		}
		logs, err := db.Logs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			if l.Origin == shardOrigin && (!l.FailingSince.Equal(c.since) || (l.Failure == "") != c.since.IsZero()) {
				t.Errorf("followed: %t: it fails since %s: %q", c.followed, l.FailingSince, l.Failure)
			}
		}
	}
}

// TestAnEntryThatIsFoundAndThenReadKeepsWhatItsNameGave reads over an entry that was found by name before.
func TestAnEntryThatIsFoundAndThenReadKeepsWhatItsNameGave(t *testing.T) {
	ctx := context.Background()
	db, r := rekor1Record(t)
	found := hit(0)
	found.GlobalIndex, found.LoggedAt = 3, noon
	if err := r.SaveFound(ctx, hour(5), 1, "list 1", []audit.Found{{Entry: shardEntry(), Match: rekor.V1Confirmed, Hit: &found}}, nil); err != nil {
		t.Fatal(err)
	}
	shard, err := db.Log(ctx, LogName{Origin: shardOrigin, Kind: kindRekor1, KeyID: "c0ff", URL: "https://rekor1.example"}, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	read := batch(0, 1)
	read.Hits[0].Hit.GlobalIndex, read.Hits[0].Hit.LoggedAt, read.Hits[0].Hit.Class = 3, time.Time{}, "owner"
	void := &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, Detail: "another tree"}
	if err := errors.Join(shard.Begin(ctx, hour(6), 0, nil, shardNote(shardOrigin, 4)), shard.Advance(ctx, hour(6), read), shard.Misbehaved(ctx, hour(6), void)); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := db.Hits(ctx, HitFilter{Origins: []string{shardOrigin}}, func(h audit.HitFacts) error {
		if n++; h.GlobalIndex != 3 || !h.LoggedAt.Equal(noon) || h.Class != "owner" || !h.Proven {
			t.Errorf("%+v", h)
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("%d hits, %v", n, err)
	}
}
