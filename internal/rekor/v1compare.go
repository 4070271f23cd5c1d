package rekor

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// V1Copy is an entry as a bundle carries it.
type V1Copy struct {
	Body           []byte
	GlobalIndex    uint64
	IntegratedTime time.Time
	LogID          string
	// SET is the log's signature in the bundle; empty if it has none.
	SET []byte
	// Proof says that the bundle has an inclusion proof: then TreeID and Index are what that says.
	Proof         bool
	TreeID, Index uint64
}

// V1Difference is one respect in which a bundle's copy of an entry is not the log's.
type V1Difference struct {
	Check V1Check
	// Bundle and Log are the two values; of a signed entry timestamp, what is wrong with the bundle's.
	Bundle, Log string
}

func (d V1Difference) String() string {
	return fmt.Sprintf("%s: the bundle has %s, the log %s", d.Check, d.Bundle, d.Log)
}

// Compare holds a bundle's copy of an entry against the log's, which was proven: the body byte for byte, the indices, the
// time, the key. The log signs anew whenever it is asked, so the two signatures differ; the bundle's must verify over what
// the bundle itself says. No differences mean that the two are the same entry.
func (k *V1Keys) Compare(e *V1Entry, c V1Copy) []V1Difference {
	var all []V1Difference
	compare := func(check V1Check, bundle, log string) {
		if bundle != log {
			all = append(all, V1Difference{Check: check, Bundle: bundle, Log: log})
		}
	}
	bodyOf := func(body []byte) string {
		return fmt.Sprintf("%d bytes with SHA-256 %x", len(body), sha256.Sum256(body))
	}
	compare(V1CheckBody, bodyOf(c.Body), bodyOf(e.Body))
	compare(V1CheckLogID, clip(c.LogID), e.LogID)
	compare(V1CheckIntegratedTime, c.IntegratedTime.UTC().Format(time.RFC3339), e.IntegratedTime.Format(time.RFC3339))
	compare(V1CheckLogIndex, fmt.Sprintf("global index %d", c.GlobalIndex), fmt.Sprintf("global index %d", e.GlobalIndex))
	if c.Proof {
		compare(V1CheckTree, fmt.Sprintf("entry %d of tree %d", c.Index, c.TreeID), fmt.Sprintf("entry %d of tree %d", e.Index, e.TreeID))
	}
	if len(c.SET) == 0 {
		return all
	}
	key := k.keys[c.LogID]
	if key == nil {
		return all // the differing log id says it
	}
	promise := tlog.Promise{Body: c.Body, IntegratedTime: c.IntegratedTime.Unix(), LogID: c.LogID, LogIndex: int64(c.GlobalIndex)}
	if err := promise.Verify(key, c.SET); err != nil {
		all = append(all, V1Difference{Check: V1CheckSET, Bundle: "one that does not verify (" + err.Error() + ")", Log: "one that does"})
	}
	return all
}
