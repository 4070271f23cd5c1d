package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// staticHandler serves static-ct-api (C2SP): the checkpoint, hash tiles, data tiles and issuers.
func (l *CTLog) staticHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /issuer/{fingerprint}", func(w http.ResponseWriter, q *http.Request) {
		l.mu.RLock()
		der, ok := l.issuers[q.PathValue("fingerprint")]
		l.mu.RUnlock()
		if !ok {
			http.NotFound(w, q)
			return
		}
		writeBytes(w, "application/pkix-cert", der)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, q *http.Request) {
		l.serveTiles(w, q, strings.TrimPrefix(q.URL.Path, "/"), "data", dataTile)
	})
	return mux
}

// dataTile adds a TileLeaf to a data tile: the MerkleTreeLeaf without version and type, and what the tree does not cover.
func dataTile(tile []byte, e logEntry) []byte {
	return append(append(tile, e.leaf[2:]...), e.extra...)
}

// sealNote renders a checkpoint whose signature is that of the RFC 6962 tree head (static-ct-api, "Checkpoints").
func (l *CTLog) sealNote(v view, at time.Time) ([]byte, error) {
	root, signature, err := l.signTreeHead(v, at)
	if err != nil {
		return nil, err
	}
	stamped := binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	line := noteLine(l.origin, noteKeyID(l.origin, noteTreeHead, l.id[:]), append(stamped, signature...))
	return []byte(noteText(v.origin, v.size, root) + "\n" + line), nil
}

// leafIndexExtension is the SCT extension with an entry's index (static-ct-api, "SCT Extension").
func leafIndexExtension(index uint64) []byte {
	const leafIndex = 0
	return []byte{leafIndex, 0, 5, byte(index >> 32), byte(index >> 24), byte(index >> 16), byte(index >> 8), byte(index)}
}

// tileLeafRest is what follows the extensions in a TileLeaf of a precertificate.
func tileLeafRest(precertificate []byte, chain [][]byte) []byte {
	rest := appendOpaque24(make([]byte, 0, 5+len(precertificate)+len(chain)*sha256.Size), precertificate)
	rest = binary.BigEndian.AppendUint16(rest, uint16(len(chain)*sha256.Size))
	for _, issuer := range chain {
		sum := sha256.Sum256(issuer)
		rest = append(rest, sum[:]...)
	}
	return rest
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
