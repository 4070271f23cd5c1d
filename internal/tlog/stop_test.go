package tlog

import "testing"

// TestARunThatIsToldToStopLeavesTheRestForAnother reads a log in runs that may make so many proofs each: what was read is proven,
// and the next run goes on behind it. One that may make none reads nothing, and still looks at the log.
func TestARunThatIsToldToStopLeavesTheRestForAnother(t *testing.T) {
	l, s := newLog(950), newStore()
	stopAfter := func(proofs int) func(*Follower[string]) {
		asked := 0
		return func(f *Follower[string]) {
			f.ProveEntries = 100
			f.Stop = func() bool {
				asked++
				return asked > proofs
			}
		}
	}
	for _, run := range []struct {
		proofs int
		want   uint64
	}{{0, 0}, {3, 300}, {1, 400}, {0, 400}, {100, 950}, {100, 950}} {
		out, err := follow(l, s, stopAfter(run.proofs))
		if err != nil || out.Checkpoint.Size != 950 || out.Proven != run.want {
			t.Fatalf("after %d proofs: %+v, %v", run.proofs, out, err)
		}
		check(t, s, 0, run.want)
	}
}
