package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// trillian is the storage of Merkle trees that Rekor v1 and the CT log stand on: a log server and a signer over MariaDB.
type trillian struct {
	dir     string
	socket  string // MariaDB's; it listens nowhere else
	address string // the log server's, of its gRPC
	client  string // the path of MariaDB's client
	tool    string // the path of createtree
	servers []*server
}

// mariadb names what is run of MariaDB, which comes with the system and not with Go.
var mariadb = []string{"mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin"}

// startTrillian starts MariaDB and Trillian. It is a [*missingError] where they are not to be had.
func startTrillian(ctx context.Context) (*trillian, error) {
	paths := map[string]string{}
	for _, name := range mariadb {
		path, err := systemProgram(name)
		if err != nil {
			return nil, &missingError{what: "MariaDB, on which Trillian stands,", err: err}
		}
		paths[name] = path
	}
	for _, name := range []string{"createtree", "trillian_log_server", "trillian_log_signer"} {
		path, err := tool(ctx, name)
		if err != nil {
			return nil, err
		}
		paths[name] = path
	}
	// The path of a socket may have 108 bytes: the folders of tests are too deep.
	dir, err := os.MkdirTemp("", "rekoncile-e2e-")
	if err != nil {
		return nil, err
	}
	tr := &trillian{dir: dir, socket: filepath.Join(dir, "sql"), client: paths["mariadb"], tool: paths["createtree"]}
	err = tr.startDatabase(ctx, paths)
	if err == nil {
		err = tr.startLog(ctx, paths)
	}
	if err != nil {
		return nil, errors.Join(err, tr.stop())
	}
	return tr, nil
}

// systemProgram finds a program of the system. Those that serve may be in a folder that is not in everybody's path.
func systemProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// run starts one of the servers, and waits until it is ready.
func (tr *trillian) run(ctx context.Context, name, path string, ready func(ctx context.Context) error, args ...string) error {
	s, err := startServer(tr.dir, name, path, nil, args...)
	if err != nil {
		return err
	}
	tr.servers = append(tr.servers, s)
	return s.await(ctx, ready)
}

func (tr *trillian) startDatabase(ctx context.Context, paths map[string]string) error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	data := filepath.Join(tr.dir, "data")
	install := exec.CommandContext(ctx, paths["mariadb-install-db"], "--no-defaults", "--user="+me.Username, "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("installing a database: %w\n%s", err, out)
	}
	ping := func(ctx context.Context) error {
		return exec.CommandContext(ctx, paths["mariadb-admin"], "--no-defaults", "--socket="+tr.socket, "--user=root", "ping").Run()
	}
	if err := tr.run(ctx, "mariadbd", paths["mariadbd"], ping, "--no-defaults", "--user="+me.Username, "--datadir="+data, "--socket="+tr.socket,
		"--skip-networking", "--pid-file="+filepath.Join(tr.dir, "pid"), "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0"); err != nil {
		return err
	}
	version, err := tr.sql(ctx, "", "SELECT VERSION()")
	if err != nil {
		return err
	}
	shared.used("MariaDB " + strings.TrimSpace(version))
	schema, err := moduleFile(ctx, "trillian_log_server", "storage/mysql/schema/storage.sql")
	if err != nil {
		return err
	}
	tables, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	if _, err := tr.sql(ctx, "", "CREATE DATABASE trillian"); err != nil {
		return err
	}
	_, err = tr.sql(ctx, "trillian", string(tables))
	return err
}

// sql runs statements in a database, as its root, and returns what they select, a line a row.
func (tr *trillian) sql(ctx context.Context, database, statements string) (string, error) {
	cmd := exec.CommandContext(ctx, tr.client, "--no-defaults", "--socket="+tr.socket, "--user=root", "--batch", "--skip-column-names", database)
	if database == "" {
		cmd.Args = cmd.Args[:len(cmd.Args)-1]
	}
	cmd.Stdin = strings.NewReader(statements)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("asking MariaDB: %w: %s", err, problems.String())
	}
	return string(out), nil
}

// dsn is the address of a database, as Go's MySQL driver takes it.
func (tr *trillian) dsn(database string) string {
	return fmt.Sprintf("root@unix(%s)/%s", tr.socket, database)
}

// startLog starts the log server and the signer, which takes leaves into trees five times a second.
func (tr *trillian) startLog(ctx context.Context, paths map[string]string) error {
	for _, name := range []string{"trillian_log_server", "trillian_log_signer"} {
		rpc, err := freeAddress()
		if err != nil {
			return err
		}
		http, err := freeAddress()
		if err != nil {
			return err
		}
		args := []string{"--storage_system=mysql", "--quota_system=noop", "--mysql_uri=" + tr.dsn("trillian"), "--rpc_endpoint=" + rpc, "--http_endpoint=" + http, "--alsologtostderr"}
		if name == "trillian_log_signer" {
			args = append(args, "--force_master", "--sequencer_interval=200ms", "--batch_size=1000", "--num_sequencers=2")
		} else {
			tr.address = rpc
		}
		if err := tr.run(ctx, name, paths[name], answers("http://"+http+"/healthz"), args...); err != nil {
			return err
		}
		shared.used(programs[name].String())
	}
	return nil
}

// createTree makes an empty tree, and returns its id in decimal.
func (tr *trillian) createTree(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tr.tool, "--admin_server="+tr.address)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("creating a tree: %v\n%s", err, problems.String())
	}
	return strings.TrimSpace(string(out))
}

// createDatabase makes an empty database, and returns its address.
func (tr *trillian) createDatabase(t *testing.T) string {
	t.Helper()
	name := "e2e_" + rand.Text()
	if _, err := tr.sql(t.Context(), "", "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return tr.dsn(name)
}

// hostPort is the log server's address in two parts.
func (tr *trillian) hostPort(t *testing.T) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(tr.address)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// stop ends the servers, the last one that was started first, and removes what they stored: so they need not save it.
func (tr *trillian) stop() error {
	var problems []error
	for _, s := range slices.Backward(tr.servers) {
		problems = append(problems, s.kill())
	}
	return errors.Join(append(problems, os.RemoveAll(tr.dir))...)
}
