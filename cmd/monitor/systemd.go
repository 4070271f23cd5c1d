package main

import (
	"errors"
	"net"
	"os"
)

// tellSystemd says how the daemon stands to the service manager that started it, if one did (sd_notify(3)).
func (a *app) tellSystemd(state string) (err error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	_, err = conn.Write([]byte(state))
	return err
}
