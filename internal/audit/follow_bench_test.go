package audit_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// BenchmarkFollowRekorV2 follows 262,144 entries over loopback HTTP, from fetching to the database, in one run with its
// baselines: fetching the same bundles with net/http and hashing them into the root. What is compared is the processor time of
// the following process alone; the tasks take turns, and each figure is the median of its rounds.
func BenchmarkFollowRekorV2(b *testing.B) {
	const size, parallel, rounds = 262_144, 8, 7
	log := serveBenchLog(b, size, 0)
	for b.Loop() {
		var fetch, reusing, one, many []float64
		var use benchUse
		for i := range rounds {
			run := func(do string, watched int) float64 {
				use = benchTask{Do: do, Log: log, Parallel: parallel, Watched: watched, Record: filepath.Join(b.TempDir(), "monitor.db")}.run(b)
				return use.CPU.Seconds()
			}
			fetch, reusing = append(fetch, run("fetch", 0)), append(reusing, run("fetch-reusing", 0))
			many, one = append(many, run("follow", 10_000)), append(one, run("follow", 1))
			b.Logf("round %d: CPU seconds: fetch %.3f, fetch-reusing %.3f, follow %.3f, follow 10,000 %.3f", i+1, fetch[i], reusing[i], one[i], many[i])
		}
		b.ReportMetric(median(one)/median(fetch), "follow/fetch")
		b.ReportMetric(median(one)/median(reusing), "follow/fetch-reusing")
		b.ReportMetric(median(many)/median(one), "10000-watched/one")
		b.ReportMetric(size/median(fetch), "fetch-entries/cpu-s")
		b.ReportMetric(size/median(reusing), "fetch-reusing-entries/cpu-s")
		b.ReportMetric(size/median(one), "follow-entries/cpu-s")
		b.ReportMetric(float64(use.Bytes)/size, "bytes/entry")
		b.ReportMetric(float64(use.Requests), "requests")
	}
	b.ReportMetric(float64(log.Leaf), "leaf-bytes")
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[len(all)/2] + all[(len(all)-1)/2]) / 2
}

// BenchmarkFollowWithLatency follows with 200 ms a request and 32 in flight: the ratio is of what that allows. It is of the
// time on the clock, so that the best round is the one that other work on the machine disturbed least.
func BenchmarkFollowWithLatency(b *testing.B) {
	const parallel, latency, rounds = 32, 200 * time.Millisecond, 3
	const size = 20 * parallel * 256
	log := serveBenchLog(b, size, latency)
	for b.Loop() {
		ideal := size / 256 / parallel * latency
		var ratios []float64
		for range rounds {
			use := benchTask{Do: "follow", Log: log, Parallel: parallel, Watched: 1, Record: filepath.Join(b.TempDir(), "monitor.db")}.run(b)
			ratios = append(ratios, ideal.Seconds()/use.Wall.Seconds())
		}
		b.ReportMetric(slices.Max(ratios), "of-what-latency-allows")
		b.ReportMetric(median(ratios), "of-what-latency-allows-median")
	}
}

// BenchmarkFollowMemory measures the memory that following logs of several sizes takes at most, the process as the system
// counts it and the part that Go's runtime holds.
func BenchmarkFollowMemory(b *testing.B) {
	const rounds = 3
	for _, size := range []int{262_144, 1_048_576, 4_194_304} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			log := serveBenchLog(b, size, 0)
			for b.Loop() {
				var resident, runtime []float64
				for range rounds {
					use := benchTask{Do: "follow", Log: log, Parallel: 8, Watched: 1, Record: filepath.Join(b.TempDir(), "monitor.db")}.run(b)
					resident = append(resident, float64(use.PeakRSS)/(1<<20))
					runtime = append(runtime, float64(use.PeakRuntime)/(1<<20))
				}
				b.ReportMetric(slices.Max(resident), "MiB-resident")
				b.ReportMetric(slices.Max(runtime), "MiB-runtime")
			}
		})
	}
}

// BenchmarkRestart takes up records of logs of two sizes again: from opening the record to the last proof, with nothing
// new in the log, and with some entries that are. Each figure is the median of its rounds.
func BenchmarkRestart(b *testing.B) {
	const rounds = 5
	for _, size := range []int{262_144, 1_048_576} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			log := serveBenchLog(b, size, 0)
			before := log
			before.URL, before.Size = log.URL+"/before", log.Size-benchGrowth
			for b.Loop() {
				task := benchTask{Do: "follow", Log: before, Parallel: 8, Watched: 1, Record: filepath.Join(b.TempDir(), "monitor.db")}
				task.run(b)
				record, err := os.ReadFile(task.Record)
				if err != nil {
					b.Fatal(err)
				}
				var idle, grown []float64
				var idleUse, grownUse benchUse
				for range rounds {
					task.Log, task.Record = before, filepath.Join(b.TempDir(), "monitor.db")
					if err := os.WriteFile(task.Record, record, 0o600); err != nil {
						b.Fatal(err)
					}
					idleUse = task.run(b)
					task.Log = log
					grownUse = task.run(b)
					idle, grown = append(idle, idleUse.Wall.Seconds()*1000), append(grown, grownUse.Wall.Seconds()*1000)
				}
				b.ReportMetric(median(idle), "ms-to-nothing-new")
				b.ReportMetric(float64(idleUse.Requests), "requests-to-nothing-new")
				b.ReportMetric(median(grown), fmt.Sprintf("ms-to-%d-more", benchGrowth))
				b.ReportMetric(float64(grownUse.Requests), fmt.Sprintf("requests-to-%d-more", benchGrowth))
			}
		})
	}
}

// BenchmarkBytesADay measures what entries of CT logs weigh on the wire, in both forms, as they are and with gzip, and tells
// what that is in a day at 100 and at 230 entries a second.
func BenchmarkBytesADay(b *testing.B) {
	const certificates = 1024 // four full tiles
	w, _ := newWorld(b, 1)
	for i := range certificates {
		if _, err := w.Fulcio.NewSigner(strangersClaims(i), sandbox.CertificateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for _, form := range []struct {
		name    string
		paths   []string
		entries int
	}{
		{"rfc6962", []string{w.CT.URL() + "/ct/v1/get-entries?start=0&end=999"}, 1000},
		{"static", []string{w.StaticCT.URL() + "/tile/data/000", w.StaticCT.URL() + "/tile/data/001", w.StaticCT.URL() + "/tile/data/002"}, 768},
	} {
		b.Run(form.name, func(b *testing.B) {
			for b.Loop() {
				plain, zipped := 0, 0
				for _, url := range form.paths {
					body := get(b, url)
					plain, zipped = plain+len(body), zipped+len(gzipped(b, body))
				}
				for _, coding := range []struct {
					name  string
					bytes int
				}{{"", plain}, {"-gzip", zipped}} {
					each := float64(coding.bytes) / float64(form.entries)
					b.ReportMetric(each, "bytes/entry"+coding.name)
					for _, rate := range []float64{100, 230} {
						b.ReportMetric(each*rate*24*60*60/1e9, fmt.Sprintf("GB/day-at-%.0f/s%s", rate, coding.name))
					}
				}
			}
		})
	}
}

// get reads an answer without a content coding.
func get(b *testing.B, url string) []byte {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: status %d, %v", url, resp.StatusCode, err)
	}
	return body
}

func gzipped(b *testing.B, body []byte) []byte {
	b.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(body); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}
