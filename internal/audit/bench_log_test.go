package audit_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

const (
	benchOrigin = "bench.example"
	// benchGrowth is how many entries the log had fewer before it grew.
	benchGrowth = 1000
)

// benchLog is a Rekor v2 log of any size, whose entries have certificates of 64 repositories. It keeps their hashes, and
// makes them anew when they are asked for.
type benchLog struct {
	size        int
	certs       []string              // in base64
	levels      [][][sha256.Size]byte // hashes by the level of their tile
	checkpoints map[int][]byte        // by size
	key         []byte                // Ed25519
	trusted     []byte                // trusted_root.json
}

func newBenchLog(size int) (*benchLog, error) {
	w, err := sandbox.New(sandbox.Options{})
	if err != nil {
		return nil, err
	}
	l := &benchLog{size: size, checkpoints: map[int][]byte{}, trusted: w.TrustedRootJSON()}
	for i := range 64 {
		s, err := w.Fulcio.NewSigner(strangersClaims(i), sandbox.CertificateOptions{})
		if err != nil {
			return nil, err
		}
		l.certs = append(l.certs, base64.StdEncoding.EncodeToString(s.Certificate.Raw))
	}
	hashes := make([][sha256.Size]byte, size)
	var leaf []byte
	for i := range hashes {
		leaf = l.appendLeaf(leaf[:0], i)
		hashes[i] = tlog.LeafHash(leaf)
	}
	for level := hashes; len(level) > 0; {
		l.levels = append(l.levels, level)
		above := make([][sha256.Size]byte, len(level)/256)
		for i := range above {
			above[i] = merkleRoot(level[256*i : 256*i+256])
		}
		level = above
	}
	secret, public, err := note.GenerateKey(rand.Reader, benchOrigin)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(public, "+", 3)[2])
	if err != nil {
		return nil, err
	}
	l.key = key[1:] // behind its type
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, err
	}
	for _, n := range []int{size, size - benchGrowth} {
		root := merkleRoot(hashes[:n])
		if l.checkpoints[n], err = note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", benchOrigin, n, base64.StdEncoding.EncodeToString(root[:]))}, signer); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// strangersClaims are those of a release of some project or other: what differs between real ones differs.
func strangersClaims(i int) sandbox.Claims {
	c := sandbox.ReleaseClaims(fmt.Sprintf("1.%d.%d", i%37, i%11))
	sum := sha256.Sum256([]byte(c.Ref + strconv.Itoa(i)))
	number := binary.BigEndian.Uint32(sum[:])
	c.Repository = fmt.Sprintf("organization%d/project-%d", i, i)
	c.RepositoryID, c.OwnerID = fmt.Sprint(100_000_000+number%900_000_000), fmt.Sprint(10_000_000+number%90_000_000)
	c.SHA, c.RunID = fmt.Sprintf("%x", sum[:20]), fmt.Sprint(20_000_000_000+uint64(number))
	return c
}

// merkleRoot is RFC 6962's definition.
func merkleRoot(hashes [][sha256.Size]byte) [sha256.Size]byte {
	if len(hashes) == 1 {
		return hashes[0]
	}
	k := 1
	for k*2 < len(hashes) {
		k *= 2
	}
	left, right := merkleRoot(hashes[:k]), merkleRoot(hashes[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// appendLeaf makes an entry.
func (l *benchLog) appendLeaf(b []byte, i int) []byte {
	digest := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	signature := append(digest[:], digest[:]...)
	b = append(b, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"`...)
	b = base64.StdEncoding.AppendEncode(b, digest[:])
	b = append(b, `"},"signature":{"content":"`...)
	b = base64.StdEncoding.AppendEncode(b, signature)
	b = append(b, `","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"`...)
	b = append(b, l.certs[i%len(l.certs)]...)
	return append(b, `"}}}}}}`...)
}

// bundle makes the entry bundle of a range (C2SP tlog-tiles, "Log Entries").
func (l *benchLog) bundle(from, to int) []byte {
	b := make([]byte, 0, 256*3200)
	for i := from; i < to; i++ {
		at := len(b)
		b = l.appendLeaf(append(b, 0, 0), i)
		binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	}
	return b
}

// tile makes a tile, partial or not, by its path; false if there is none.
func (l *benchLog) tile(path string) ([]byte, bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	name, rest, _ := strings.Cut(rest, "/")
	place, part, partial := strings.Cut(rest, ".p/")
	index, err := strconv.Atoi(strings.NewReplacer("x", "", "/", "").Replace(place))
	width := 256
	if partial && err == nil {
		width, err = strconv.Atoi(part)
	}
	if !ok || err != nil {
		return nil, false
	}
	from, to := 256*index, 256*index+width
	if name == "entries" {
		return l.bundle(from, to), to <= l.size
	}
	level, err := strconv.Atoi(name)
	if err != nil || level >= len(l.levels) || to > len(l.levels[level]) {
		return nil, false
	}
	var hashes []byte
	for _, h := range l.levels[level][from:to] {
		hashes = append(hashes, h[:]...)
	}
	return hashes, true
}

// handler serves the log as it is and, below /before, as it was before it grew, each answer after a delay.
func (l *benchLog) handler(delay time.Duration) http.Handler {
	serve := func(size int) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			asked := clock.Real().Now()
			body, ok := l.checkpoints[size], true
			if path := q.PathValue("path"); path != "checkpoint" {
				body, ok = l.tile(path)
			}
			if !ok {
				http.NotFound(w, q)
				return
			}
			if delay > 0 { // making the answer is a part of it
				_ = clock.Sleep(q.Context(), clock.Real(), asked.Add(delay).Sub(clock.Real().Now()))
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			_, _ = w.Write(body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/{path...}", serve(l.size))
	mux.HandleFunc("GET /before/api/v2/{path...}", serve(l.size-benchGrowth))
	return mux
}
