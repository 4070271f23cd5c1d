package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"

	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
)

// The names of the world's CT logs.
const (
	ctHost       = "ctfe.sandbox.example"
	staticCTHost = "static-ct.sandbox.example"
)

// The extensions of RFC 6962 §3.1 and §3.3.
var (
	oidPoison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

// CTLog is a Certificate Transparency log that Fulcio submits its precertificates to: it promises to include them, by
// SCTs (RFC 6962 §3.2), and does. It is read as RFC 6962 has it, or as static-ct-api does.
type CTLog struct {
	*Ledger
	form          ctForm
	key, otherKey *ecdsa.PrivateKey
	spki          []byte
	// id names the log in its SCTs: the SHA-256 of its public key, unless it pretends to be another log.
	id [sha256.Size]byte
	// What follows is guarded by the ledger's lock.
	pageCap uint64
	issuers map[string][]byte // by the hex SHA-256 of the certificate
	roots   map[string][]byte

	bulking sync.Mutex
	mold    *ctMold
	bulks   uint64
}

// newCTLog makes a log. With impersonate set, it signs under that log's id with a key of its own.
func newCTLog(e entropy, now func() time.Time, logger *slog.Logger, host, label string, form ctForm, impersonate *CTLog) (*CTLog, error) {
	key, err := e.ecdsaKey(elliptic.P256(), label)
	if err != nil {
		return nil, err
	}
	otherKey, err := e.ecdsaKey(elliptic.P256(), label+"/other")
	if err != nil {
		return nil, err
	}
	l := &CTLog{form: form, key: key, otherKey: otherKey, pageCap: defaultPageCap, issuers: map[string][]byte{}, roots: map[string][]byte{}}
	if l.spki, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
		return nil, fmt.Errorf("encoding the key of %s: %w", label, err)
	}
	l.id = sha256.Sum256(l.spki)
	if impersonate != nil {
		l.id = impersonate.id
	}
	l.Ledger = &Ledger{origin: host, now: now, protocol: l}
	switch form {
	case ctRFC6962:
		l.byHash = map[[sha256.Size]byte]uint64{}
		l.Service = newService(host, logger, l.rfc6962Handler())
	case ctStatic:
		l.gzip = true // "data tiles SHOULD be compressed at the HTTP layer with gzip"
		l.Service = newService(host, logger, l.staticHandler())
	}
	return l, nil
}

func (l *CTLog) lies() []Lie {
	if l.form == ctStatic {
		return tiledLies()
	}
	return commonLies()
}

func (l *CTLog) pages() string {
	if l.form == ctStatic {
		return "/tile/data/*"
	}
	return "/ct/v1/get-entries"
}

func (l *CTLog) seal(v view, at time.Time) ([]byte, error) {
	if l.form == ctStatic {
		return l.sealNote(v, at)
	}
	root, signature, err := l.signTreeHead(v, at)
	if err != nil {
		return nil, err
	}
	return json.Marshal(ct.GetSTHResponse{
		TreeSize: v.size, Timestamp: uint64(at.UnixMilli()), SHA256RootHash: root, TreeHeadSignature: signature,
	})
}

// submission is a precertificate as a log takes it.
type submission struct {
	precertificate, tbs []byte // the TBS is without its poison
	chain               [][]byte
	issuerKeyHash       [sha256.Size]byte
	timestamp           uint64 // milliseconds
}

// newSubmission prepares a precertificate. The chain goes from its issuer up to the root.
func newSubmission(precertificate []byte, at time.Time, chain ...*x509.Certificate) (submission, error) {
	parsed, err := x509.ParseCertificate(precertificate)
	if err != nil {
		return submission{}, fmt.Errorf("parsing the precertificate: %w", err)
	}
	s := submission{precertificate: precertificate, timestamp: uint64(at.UnixMilli()), issuerKeyHash: sha256.Sum256(chain[0].RawSubjectPublicKeyInfo)}
	if s.tbs, err = ctx509.RemoveCTPoison(parsed.RawTBSCertificate); err != nil {
		return submission{}, fmt.Errorf("removing the poison: %w", err)
	}
	for _, c := range chain {
		s.chain = append(s.chain, c.Raw)
	}
	return s, nil
}

// timestamped is the entry that the log makes of a submission at an index, as an SCT covers it (RFC 6962 §3.2).
func (l *CTLog) timestamped(s submission, index uint64) *ct.TimestampedEntry {
	return &ct.TimestampedEntry{
		Timestamp: s.timestamp, EntryType: ct.PrecertLogEntryType,
		PrecertEntry: &ct.PreCert{IssuerKeyHash: s.issuerKeyHash, TBSCertificate: s.tbs}, Extensions: l.extensions(index),
	}
}

// entry encodes what the log keeps of a submission: a MerkleTreeLeaf (RFC 6962 §3.4), and what is served with it. It does
// so by hand, because bulk is encoded again whenever it is asked for.
func (l *CTLog) entry(s submission, index uint64) logEntry {
	leaf := make([]byte, 0, len(s.tbs)+64)
	leaf = append(leaf, byte(ct.V1), byte(ct.TimestampedEntryLeafType))
	leaf = binary.BigEndian.AppendUint64(leaf, s.timestamp)
	leaf = binary.BigEndian.AppendUint16(leaf, uint16(ct.PrecertLogEntryType))
	leaf = append(leaf, s.issuerKeyHash[:]...)
	leaf = appendOpaque24(leaf, s.tbs)
	extensions := l.extensions(index)
	leaf = binary.BigEndian.AppendUint16(leaf, uint16(len(extensions)))
	e := logEntry{leaf: append(leaf, extensions...), added: l.now()}
	if l.form == ctStatic {
		e.extra = tileLeafRest(s.precertificate, s.chain)
	} else {
		e.extra = precertChainEntry(s.precertificate, s.chain)
	}
	return e
}

// precertChainEntry is the extra_data of a precertificate (RFC 6962 §4.6).
func precertChainEntry(precertificate []byte, chain [][]byte) []byte {
	size := 0
	for _, der := range chain {
		size += 3 + len(der)
	}
	extra := appendOpaque24(make([]byte, 0, 6+len(precertificate)+size), precertificate)
	extra = append(extra, byte(size>>16), byte(size>>8), byte(size))
	for _, der := range chain {
		extra = appendOpaque24(extra, der)
	}
	return extra
}

// appendOpaque24 adds bytes with their length in three bytes before them (RFC 5246 §4.3).
func appendOpaque24(b, opaque []byte) []byte {
	return append(append(b, byte(len(opaque)>>16), byte(len(opaque)>>8), byte(len(opaque))), opaque...)
}

// extensions are those of an entry at an index.
func (l *CTLog) extensions(index uint64) []byte {
	if l.form == ctStatic {
		return leafIndexExtension(index)
	}
	return nil
}

// submit adds a precertificate to the log and returns its index.
func (l *CTLog) submit(s submission) (uint64, error) {
	return l.appendWith(func(index uint64) logEntry {
		for _, der := range s.chain {
			l.issuers[fingerprint(der)] = der
		}
		root := s.chain[len(s.chain)-1]
		l.roots[fingerprint(root)] = root
		return l.entry(s, index)
	})
}

// promise returns the value of an SCT list extension with the log's SCT for a submission that has an index.
func (l *CTLog) promise(s submission, index uint64) ([]byte, error) {
	entry := l.timestamped(s, index)
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: l.id}, Timestamp: s.timestamp, Extensions: entry.Extensions}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: ct.MerkleTreeLeaf{
		Version: ct.V1, LeafType: ct.TimestampedEntryLeafType, TimestampedEntry: entry,
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding what an SCT covers: %w", err)
	}
	signature, err := signSHA256(l.key, input)
	if err != nil {
		return nil, fmt.Errorf("signing an SCT: %w", err)
	}
	sct.Signature = ct.DigitallySigned{
		Algorithm: tls.SignatureAndHashAlgorithm{Hash: tls.SHA256, Signature: tls.ECDSA},
		Signature: signature,
	}
	list, err := x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&sct})
	if err != nil {
		return nil, fmt.Errorf("encoding an SCT: %w", err)
	}
	raw, err := tls.Marshal(*list)
	if err != nil {
		return nil, fmt.Errorf("encoding an SCT list: %w", err)
	}
	return asn1.Marshal(raw)
}

// ctMold makes submissions of strangers.
type ctMold struct {
	submission
	precertificate, tbs mold
}

func newCTMold(f *Fulcio, label string) (*ctMold, error) {
	s, err := f.stranger(label)
	if err != nil {
		return nil, err
	}
	m := &ctMold{}
	if m.submission, err = newSubmission(s.Precertificate, s.Certificate.NotBefore, f.intermediate, f.root); err != nil {
		return nil, err
	}
	if m.precertificate, err = newMold(m.submission.precertificate, s.Certificate.SerialNumber); err != nil {
		return nil, err
	}
	m.tbs, err = newMold(m.submission.tbs, s.Certificate.SerialNumber)
	return m, err
}

// cast makes the submission of a number.
func (m *ctMold) cast(n uint64) submission {
	s := m.submission
	s.precertificate, s.tbs = m.precertificate.cast(n), m.tbs.cast(n)
	return s
}

// AddBulk adds n precertificates of strangers. Each has a serial number and names of its own; their signatures do not
// verify, so that hundreds of thousands are made in a moment.
func (l *CTLog) AddBulk(n uint64) error {
	l.bulking.Lock()
	defer l.bulking.Unlock()
	number := l.bulks
	l.mu.Lock()
	for _, der := range l.mold.chain {
		l.issuers[fingerprint(der)] = der
	}
	l.mu.Unlock()
	added := l.now()
	err := l.appendMade(n, func(first uint64) func(uint64) logEntry {
		return func(i uint64) logEntry {
			e := l.entry(l.mold.cast(number+i), first+i)
			e.added = added
			return e
		}
	})
	if err == nil {
		l.bulks += n
	}
	return err
}

func (l *CTLog) stranger(label string, index uint64) (logEntry, error) {
	sum := sha256.Sum256([]byte(label))
	return l.entry(l.mold.cast(binary.BigEndian.Uint64(sum[:])), index), nil
}

// AddUnknownType adds a leaf of an entry type that nobody knows, with a text in it. A data tile of a static log cannot be
// read past it, since the type says what follows.
func (l *CTLog) AddUnknownType(text string) (index uint64, err error) {
	leaf := append([]byte{0, 0}, binary.BigEndian.AppendUint64(nil, uint64(l.now().UnixMilli()))...)
	leaf = append(leaf, 0x7f, 0x07)
	leaf = append(leaf, text...)
	return l.append(logEntry{leaf: leaf, added: l.now()})
}

// AddMalformedCertificate adds a precertificate that is none: DER that breaks off after a text.
func (l *CTLog) AddMalformedCertificate(text string) (index uint64, err error) {
	s := l.mold.submission
	s.tbs, s.precertificate = malformedCertificate(text), malformedCertificate(text)
	return l.submit(s)
}
