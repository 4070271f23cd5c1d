package audit_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

const day = 24 * time.Hour

// TestAnHonestRekor1IsConfirmedOnce publishes two releases and reads the log by name: every bundle's entry is the log's, every
// bundle's checkpoint of its tree, and the index finds what they are. A minute later nothing is due.
func TestAnHonestRekor1IsConfirmedOnce(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	_, a := m.release(t, "1.23.0", m.ago(20*day))
	if err := m.world.Rekor.AddNoise(3, m.world.Now()); err != nil {
		t.Fatal(err)
	}
	// A request for the shards; one for both entries, and a proof for the checkpoint of each bundle. The probe takes two
	// searches; then each of two files, two subjects and two certificates is asked for, and the entry of each release is read
	// with the first search that names it.
	want := audit.Rekor1Summary{Log: rekor1Name, Shards: 3, Size: uint64(a.Entries[0].LogIndex) + 4, Requests: 1 + 1 + 2 + 2 + 6 + 2,
		Confirmed: 2, Related: 2, Searches: 6, Hits: 2, Subject: rekor.V1Supported}
	if diff := cmp.Diff(want, m.complete(t)); diff != "" {
		t.Error(diff)
	}
	if findings := m.open(t); len(findings) > 0 {
		t.Errorf("findings: %+v", findings)
	}
	if hits := m.hits(t); len(hits) != 2 || hits[uint64(a.Entries[0].LogIndex)] == "" {
		t.Errorf("hits: %v", hits)
	}
	m.asked()
	m.clock.Advance(time.Minute)
	m.complete(t)
	if diff := cmp.Diff(map[string]int{"/log": 1}, m.asked()); diff != "" {
		t.Errorf("asked again: %s", diff)
	}
	if n, err := m.target(t).Store.SpentOn(t.Context(), m.clock.Now()); err != nil || n != want.Requests+1 {
		t.Errorf("%d requests are on record, %v", n, err)
	}
}

// TestWhatIsAskedForGrowsOldBeforeItIsAskedAgain counts the searches for a new release over a month: an index that is written
// late must not hide an entry, and an old one must cost next to nothing.
func TestWhatIsAskedForGrowsOldBeforeItIsAskedAgain(t *testing.T) {
	if raceDetector {
		t.Skip("how often it asks is no matter of races")
	}
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.23.0", m.ago(time.Minute))
	m.complete(t)
	m.asked()
	searches := map[string]int{}
	at := time.Duration(0)
	for _, until := range []time.Duration{time.Hour, day, 30 * day} {
		for ; at < until; at += max(time.Minute, until/120) {
			m.clock.Advance(max(time.Minute, until/120))
			m.read(t)
		}
		searches[until.String()] = m.asked()["/index/retrieve"]
	}
	// Three questions, each asked again after as long as it is old; and the probe, daily.
	if diff := cmp.Diff(map[string]int{"1h0m0s": 3 * 5, "24h0m0s": 3 * 5, "720h0m0s": 3*5 + 2*29}, searches); diff != "" {
		t.Error(diff)
	}
}

// TestAnEntryThatNobodyPublishedIsFound has a genuine certificate of the release job sign more than was published, in four
// worlds: it is found by its subject, or by its certificate, or not at all, and then the coverage does not claim that it is.
func TestAnEntryThatNobodyPublishedIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		subject sandbox.SubjectSupport
		// published says that the certificate is on a file too, so that it is held.
		published bool
		found     bool
		says      string
	}{
		"by subject":               {sandbox.SubjectKnown, false, true, "exact subjects, 1 of 1 answered"},
		"by certificate":           {sandbox.SubjectIgnored, true, true, "not searched for, since the index ignores such questions"},
		"by certificate, refused":  {sandbox.SubjectRefused, true, true, "not searched for, since the index refuses such questions"},
		"by nothing that is known": {sandbox.SubjectIgnored, false, false, "not searched for, since the index ignores such questions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRekor1World(t)
			m.world.Rekor.Index.SetSubject(c.subject)
			var s signing
			if c.published {
				s, _ = m.release(t, "1.23.0", m.ago(day))
			} else {
				s = m.sign(t, sandbox.ReleaseClaims("1.23.0"), m.ago(day))
			}
			secret := m.attest(t, s, "nobody-published-this.whl")
			m.followCT(t)
			summary := m.complete(t)
			_, found := m.hits(t)[uint64(secret.Entries[0].LogIndex)]
			if found != c.found {
				t.Errorf("found: %t; %+v", found, summary)
			}
			span, err := m.record.LogSpan(t.Context(), rekor1Name, time.Time{}, time.Time{})
			if err != nil || span.To != summary.Size {
				t.Errorf("%+v, %v", span, err)
			}
			if text := audit.CoverageOf(m.facts(t, rekor1Name), "", span).Text; !strings.Contains(text, c.says) || !strings.Contains(text, "what else there is was not looked at") {
				t.Errorf("coverage: %s", text)
			}
		})
	}
}

// TestAStolenIdentityIsFoundWithItsEntry has an unknown workflow of the project sign something that is published nowhere: the
// CT log has its certificate, and the index its entry, in the pass after that.
func TestAStolenIdentityIsFoundWithItsEntry(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.23.0", m.ago(20*day))
	m.complete(t)
	claims := sandbox.ReleaseClaims("1.24.0")
	claims.Workflow = "evil.yml"
	s := m.sign(t, claims, m.world.Now())
	secret := m.attest(t, s, "evil.whl")
	m.clock.Advance(2 * time.Minute)
	m.followCT(t)
	m.complete(t)
	if san := m.hits(t)[uint64(secret.Entries[0].LogIndex)]; !strings.Contains(san, "evil.yml") {
		t.Errorf("the entry was not found: %v", m.hits(t))
	}
	found := m.open(t)
	if len(found) != 1 || found[0].Rule != audit.UnexpectedIdentity {
		t.Fatalf("findings: %v", rules(found))
	}
	m.confirmed(t, found)
}

// TestAnEntryOfNoPublishedFileIsJudgedByItsHit has the search index alone know of a signer whom nothing else shows: its
// certificate is in no CT log that is followed.
func TestAnEntryOfNoPublishedFileIsJudgedByItsHit(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.23.0", m.ago(20*day))
	claims := sandbox.ReleaseClaims("1.23.0")
	claims.Workflow = "evil.yml"
	// It signs the very file that was published, so that the search for its digest names it.
	evil := m.sign(t, claims, m.ago(19*day))
	a := m.attest(t, evil, "onnx-1.23.0-cp312-abi3-win_amd64.whl")
	m.complete(t)
	found := m.open(t)
	if len(found) != 1 || found[0].Rule != audit.UnexpectedIdentity || found[0].Log.GlobalIndex != a.Entries[0].LogIndex {
		t.Fatalf("findings: %+v", found)
	}
	m.confirmed(t, found)
}

// TestTheIndexIsNotBelieved has the index hide, invent, and confuse.
func TestTheIndexIsNotBelieved(t *testing.T) {
	t.Parallel()
	t.Run("hides an entry", func(t *testing.T) {
		m := newRekor1World(t)
		s, _ := m.release(t, "1.23.0", m.ago(20*day))
		secret := uint64(m.attest(t, s, "secret.whl").Entries[0].LogIndex)
		mend, err := m.world.Rekor.Index.Tell(sandbox.HidingIndex, secret)
		if err != nil {
			t.Fatal(err)
		}
		m.complete(t)
		if _, found := m.hits(t)[secret]; found {
			t.Error("found, though it is hidden")
		}
		mend()
		m.clock.Advance(40 * day)
		m.complete(t)
		if _, found := m.hits(t)[secret]; !found {
			t.Error("not found once it was no longer hidden")
		}
	})
	t.Run("names a stranger's", func(t *testing.T) {
		m := newRekor1World(t)
		m.release(t, "1.23.0", m.ago(20*day))
		foreign := uint64(121_904_262)
		if _, err := m.world.Rekor.Index.Tell(sandbox.ForeignIndex, foreign); err != nil {
			t.Fatal(err)
		}
		s := m.complete(t)
		if len(m.hits(t)) != 1 || len(m.open(t)) > 0 {
			t.Errorf("hits %v, findings %v", m.hits(t), rules(m.open(t)))
		}
		if s.Subject != rekor.V1Ignored {
			t.Errorf("an index that finds something for a subject that nobody has: %s", s.Subject)
		}
	})
	t.Run("takes one spelling for another", func(t *testing.T) {
		m := newRekor1World(t)
		m.release(t, "1.23.0", m.ago(20*day))
		claims := sandbox.ReleaseClaims("1.23.0")
		claims.Repository = "ONNX/Onnx" // GitHub takes it for the same, and would not write it so
		other := m.sign(t, claims, m.ago(19*day))
		a := m.attest(t, other, "other.whl")
		m.complete(t)
		if _, found := m.hits(t)[uint64(a.Entries[0].LogIndex)]; !found {
			t.Errorf("an entry in the watched name was not kept: %v", m.hits(t))
		}
	})
	t.Run("loses every other", func(t *testing.T) {
		m := newRekor1World(t)
		m.world.Rekor.Index.Lose(2)
		for i := range 4 {
			m.release(t, fmt.Sprintf("1.2%d.0", i), m.ago(time.Duration(30-i)*day))
		}
		if s := m.complete(t); s.Confirmed != 4 || s.Hits > 3 || len(m.open(t)) > 0 {
			t.Errorf("%+v, findings %v", s, rules(m.open(t)))
		}
	})
	t.Run("is written late", func(t *testing.T) {
		m := newRekor1World(t)
		m.world.Rekor.Index.SetDelay(30 * time.Minute)
		m.release(t, "1.22.0", m.ago(day)) // it has that
		m.complete(t)
		_, a := m.release(t, "1.23.0", m.world.Now())
		for range 40 {
			m.clock.Advance(time.Minute)
			m.complete(t)
		}
		if _, found := m.hits(t)[uint64(a.Entries[0].LogIndex)]; !found {
			t.Error("not found after ten minutes of being there")
		}
	})
	t.Run("is silent", func(t *testing.T) {
		m := newRekor1World(t)
		m.release(t, "1.23.0", m.ago(20*day))
		if _, err := m.world.Rekor.Index.Tell(sandbox.SilentIndex, 0); err != nil {
			t.Fatal(err)
		}
		if s := m.complete(t); s.Confirmed != 1 || s.Hits != 0 || s.Subject != rekor.V1Unknown {
			t.Errorf("%+v", s)
		}
	})
}

// TestAnOutageOfTheIndexStopsNothingElse has the index answer with pages of HTML: what bundles name is checked all the same,
// one question is asked a pass, and the silence is a finding after its grace period and over with the outage.
func TestAnOutageOfTheIndexStopsNothingElse(t *testing.T) {
	t.Parallel()
	for _, status := range []uint64{http.StatusOK, http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			m := newRekor1World(t)
			m.release(t, "1.22.0", m.ago(90*day))
			m.release(t, "1.23.0", m.ago(20*day))
			mend, err := m.world.Rekor.Index.Tell(sandbox.IndexOutage, status)
			if err != nil {
				t.Fatal(err)
			}
			s := m.all(t)
			if s.Confirmed != 2 || s.Related != 2 || s.Searches != 0 || s.Complete() {
				t.Errorf("%+v", s)
			}
			for range 3 {
				m.asked()
				m.clock.Advance(3 * time.Hour)
				m.all(t)
			}
			if n := m.asked()["/index/retrieve"]; n > 4 {
				t.Errorf("%d questions in one pass to an index that does not answer", n)
			}
			if found := rules(m.open(t)); !slices.Equal(found, []string{audit.SourceUnreachable}) {
				t.Errorf("findings: %v", found)
			}
			mend()
			m.clock.Advance(7 * time.Hour)
			m.complete(t)
			if found := rules(m.open(t)); len(found) > 0 {
				t.Errorf("findings after the outage: %v", found)
			}
		})
	}
}

// TestReplicasAtDifferentHeightsAreOneLog has every other request answered by a server that is behind.
func TestReplicasAtDifferentHeightsAreOneLog(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	m.complete(t)
	m.world.Rekor.SetReplicas(0, 2)
	for range 5 {
		m.release(t, fmt.Sprintf("1.23.%d", m.world.Rekor.Size()), m.ago(10*day))
		if err := m.world.Rekor.AddNoise(4, m.world.Now()); err != nil {
			t.Fatal(err)
		}
		m.clock.Advance(time.Hour)
		m.complete(t)
	}
	if found := rules(m.open(t)); len(found) > 0 {
		t.Errorf("findings: %v", found)
	}
	// An entry that only some of them have yet is not missing.
	m.world.Rekor.SetReplicas(3)
	m.release(t, "1.24.0", m.ago(time.Hour))
	s := m.all(t)
	if s.Complete() || s.Missing > 0 || len(m.open(t)) > 0 {
		t.Errorf("%+v, findings %v", s, rules(m.open(t)))
	}
	m.world.Rekor.SetReplicas(0)
	m.clock.Advance(time.Hour)
	if s := m.complete(t); s.Confirmed != 1 {
		t.Errorf("%+v", s)
	}
}

// TestABudgetIsKeptAndUrgentWorkComesFirst has a hundred files to be asked for and few requests a pass.
func TestABudgetIsKeptAndUrgentWorkComesFirst(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.budget = audit.Rekor1Budget{Pass: 12, Day: 1000}
	for i := range 30 {
		m.release(t, fmt.Sprintf("1.%d.0", i), m.ago(time.Duration(400-i)*day))
	}
	if s := m.all(t); !s.Spent || s.Requests > 12 || s.Complete() {
		t.Errorf("%+v", s)
	}
	claims := sandbox.ReleaseClaims("1.31.0")
	claims.Workflow = "evil.yml"
	var urgent uint64
	for pass := 1; ; pass++ {
		if pass > 100 {
			t.Fatal("it never comes to an end")
		}
		if pass == 5 { // the probe is done by now
			urgent = uint64(m.attest(t, m.sign(t, claims, m.world.Now()), "evil.whl").Entries[0].LogIndex)
			m.followCT(t)
		}
		m.clock.Advance(time.Minute)
		s := m.read(t)
		if s.Requests > 12 {
			t.Fatalf("%+v", s)
		}
		if _, found := m.hits(t)[urgent]; pass == 5 && !found {
			t.Error("what is urgent had to wait")
		}
		if !s.Spent && pass > 5 {
			break
		}
	}
	if n := len(m.hits(t)); n != 31 {
		t.Errorf("%d hits", n)
	}
	// What is left of a day is not spent by what can wait: the budget is the host's, whoever asks it.
	m.budget = audit.Rekor1Budget{Pass: 12, Day: 1}
	if s := m.all(t); !s.Spent || s.Requests > 0 {
		t.Errorf("%+v", s)
	}
}

// TestWhatOthersAskTheHostCountsForUrgentWorkLast has a day on which windows, or whoever else, used the budget up to the share
// that is kept for what is asked by name, or to that which is kept for what is urgent.
func TestWhatOthersAskTheHostCountsForUrgentWorkLast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		others                   int // requests
		backfilled, found, spent bool
		bulk                     int // what is left for what reads in bulk
	}{
		"room for all":             {0, true, true, false, 0},
		"some for bulk":            {140, true, true, false, 10},
		"none for bulk":            {150, true, true, false, 0},
		"none but for the urgent":  {176, false, true, true, 0},
		"none":                     {200, false, false, true, 0},
		"more than there ever was": {300, false, false, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRekor1World(t)
			_, a := m.release(t, "1.22.0", m.ago(90*day))
			m.complete(t)
			m.clock.Advance(2 * time.Hour) // the probe holds for a day
			m.budget = audit.Rekor1Budget{Pass: 1000, Day: 200}
			for asked, err := m.target(t).Store.SpentOn(t.Context(), m.clock.Now()); asked < c.others; asked++ {
				if err != nil {
					t.Fatal(err)
				}
				target := m.target(t)
				if _, err := target.Fetch.Do(t.Context(), fetch.Request{URL: target.URL + "/api/v1/log", MaxBytes: 1 << 20}); err != nil {
					t.Fatal(err)
				}
			}
			today, err := m.target(t).Store.SpentOn(t.Context(), m.clock.Now())
			if err != nil || today < c.others {
				t.Fatalf("%d requests are on record, want %d; %v", today, c.others, err)
			}
			if got := m.budget.Bulk(today); c.others > 0 && got != c.bulk {
				t.Errorf("%d requests are left for bulk, want %d", got, c.bulk)
			}
			_, b := m.release(t, "1.23.0", m.ago(20*day))
			claims := sandbox.ReleaseClaims("1.24.0")
			claims.Workflow = "evil.yml"
			secret := m.attest(t, m.sign(t, claims, m.clock.Now().Add(-time.Minute)), "evil.whl")
			m.followCT(t)
			s := m.all(t)
			hits := m.hits(t)
			_, found := hits[uint64(secret.Entries[0].LogIndex)]
			if found != c.found || s.Spent != c.spent || (s.Confirmed > 0) != c.backfilled {
				t.Errorf("found %t, %+v", found, s)
			}
			if hits[uint64(a.Entries[0].LogIndex)] == "" || hits[uint64(b.Entries[0].LogIndex)] != "" != c.backfilled {
				t.Errorf("hits: %v", hits)
			}
		})
	}
}

// TestAnotherWatchListHasEntriesLookedAtAgain finds a stranger's signature of a published file, whom somebody comes to watch.
func TestAnotherWatchListHasEntriesLookedAtAgain(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.23.0", m.ago(20*day))
	claims := sandbox.ReleaseClaims("1.23.0")
	claims.Repository = "stranger/thing"
	a := m.attest(t, m.sign(t, claims, m.ago(19*day)), "onnx-1.23.0-cp312-abi3-win_amd64.whl")
	m.complete(t)
	classes := func() (own, foreign, owner int) {
		if err := m.record.Hits(t.Context(), db.HitFilter{}, func(h audit.HitFacts) error {
			switch h.Class {
			case "self":
				own++
			case audit.ClassForeign:
				foreign++
			case "owner":
				owner++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return own, foreign, owner
	}
	if own, foreign, owner := classes(); own != 1 || foreign != 1 || owner != 0 {
		t.Fatalf("%d own, %d foreign, %d of the owner: %v", own, foreign, owner, m.hits(t))
	}
	var err error
	if m.watch, err = identity.NewWatchList([]identity.Watched{{Project: "onnx", Repository: "onnx/onnx", Owners: []string{"stranger"}}}); err != nil {
		t.Fatal(err)
	}
	m.clock.Advance(time.Minute)
	m.complete(t)
	if _, found := m.hits(t)[uint64(a.Entries[0].LogIndex)]; !found {
		t.Errorf("it is gone: %v", m.hits(t))
	}
	if own, foreign, owner := classes(); own != 1 || foreign != 0 || owner != 1 {
		t.Errorf("it was not looked at again: %d own, %d foreign, %d of the owner", own, foreign, owner)
	}
	m.asked()
	m.clock.Advance(time.Minute)
	m.complete(t)
	if asked := m.asked(); len(asked) != 1 {
		t.Errorf("asked again: %v", asked)
	}
}

// TestAProjectThatSignsTenTimesADayCostsLittle reads the log every minute for a working day, in which strangers sign all the time, and
// a job of the project's every two hours and a half: its certificate is known from CT, and its entry is found with the second
// pass after it was made at the latest.
func TestAProjectThatSignsTenTimesADayCostsLittle(t *testing.T) {
	if raceDetector {
		t.Skip("what it costs is no matter of races")
	}
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	m.complete(t)
	m.asked()
	reader := &audit.Rekor1Reader{Clock: m.clock, Logger: slog.New(slog.DiscardHandler)}
	const hours = 8
	var last uint64
	signed := -10
	for minute := range hours * 60 {
		m.clock.Advance(time.Minute)
		if err := m.world.Rekor.AddNoise(1, m.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if minute%144 == 0 {
			s := m.sign(t, sandbox.ReleaseClaims("1.22.0"), m.clock.Now().Add(-time.Minute))
			last, signed = uint64(m.attest(t, s, fmt.Sprintf("build-%d.whl", minute)).Entries[0].LogIndex), minute
			m.followCT(t)
		}
		if s, err := reader.Read(t.Context(), m.target(t)); err != nil || !s.Complete() {
			t.Fatalf("%+v, %v", s, err)
		}
		if _, found := m.hits(t)[last]; minute == signed+1 && !found {
			t.Fatalf("minute %d: what was signed in minute %d is not known", minute, signed)
		}
	}
	total := 0
	for _, n := range m.asked() {
		total += n
	}
	// 2 % of 500 a minute are 10.
	if average := float64(total) / (hours * 60); average > 3 {
		t.Errorf("%.1f requests a minute", average)
	} else {
		t.Logf("%.2f requests a minute", average)
	}
}
