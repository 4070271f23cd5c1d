package sandbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
)

// Strangers sign as these names; the digits are what a mold varies.
const (
	strangerOwner   = "stranger0000000"
	strangerProject = "project0000000"
	strangerDigits  = 7
)

// strangerClaims are those of a job in nobody's repository that anyone watches.
func strangerClaims() Claims {
	return Claims{
		Repository: strangerOwner + "/" + strangerProject, RepositoryID: "640211873", OwnerID: "18420911",
		Workflow: "release.yml", WorkflowName: "Release", Ref: "refs/tags/v1.4.2", SHA: "0c1f2e6b7d7a4f0e9b6a5c4d3e2f1a0b9c8d7e6f",
		Trigger: "push", RunID: "19284411023",
	}
}

// mold makes variants of a stranger's certificate by the million: each has a serial number and names of its own. To sign
// each would take longer than everything that is measured with them, so that the signatures in them are those of the
// first one and do not verify.
type mold struct {
	der    []byte
	serial int   // where the last eight bytes of the serial number are
	names  []int // where the digits of the names are
}

func newMold(der []byte, serial *big.Int) (mold, error) {
	m := mold{der: der}
	number := serial.Bytes()
	at := bytes.Index(der, number)
	if at < 0 || len(number) < 16 {
		return mold{}, fmt.Errorf("the serial number %x cannot be varied", number)
	}
	m.serial = at + len(number) - 8
	for _, name := range []string{strangerOwner, strangerProject} {
		for from := 0; ; {
			at := bytes.Index(der[from:], []byte(name))
			if at < 0 {
				break
			}
			from += at + len(name)
			m.names = append(m.names, from-strangerDigits)
		}
	}
	if len(m.names) == 0 {
		return mold{}, fmt.Errorf("no name in the certificate can be varied")
	}
	return m, nil
}

// cast makes the variant of a number.
func (m mold) cast(n uint64) []byte {
	der := bytes.Clone(m.der)
	binary.BigEndian.PutUint64(der[m.serial:], binary.BigEndian.Uint64(der[m.serial:])^n)
	var digits [strangerDigits]byte
	rest := n
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + rest%10)
		rest /= 10
	}
	for _, at := range m.names {
		copy(der[at:], digits[:])
	}
	return der
}
