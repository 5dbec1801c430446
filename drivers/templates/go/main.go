// A storage driver that keeps its store in a folder, for vendors to copy: see README.md.
package main

// The life of the process: how it is reached, when it ends. Kept by a vendor.

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate

import (
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
)

const (
	streamWindow     = 256 << 10
	connectionWindow = 16 << 20
	drain            = 10 * time.Second
)

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: logKeys})))
	if err := run(); err != nil {
		slog.Error(err.Error())
		os.Exit(1)
	}
}

// logKeys gives log lines the keys of the contract [L7].
func logKeys(_ []string, attribute slog.Attr) slog.Attr {
	switch attribute.Key {
	case slog.TimeKey:
		attribute.Key = "timestamp"
	case slog.MessageKey:
		attribute.Key = "message"
	}
	return attribute
}

func run() error {
	nonce, err := hex.DecodeString(os.Getenv("STORAGE_DRIVER_NONCE"))
	if err != nil {
		return fmt.Errorf("STORAGE_DRIVER_NONCE is not hexadecimal: %w", err)
	}
	if err := endWithRegistry(); err != nil {
		return err
	}
	listener, err := listen()
	if err != nil {
		return err
	}
	var files syscall.Rlimit // Go has raised it to the most that is allowed
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	// Each stream holds a file, and each call at work a thread of the process and some files for a moment.
	driver := newDriver(nonce, int(max(min(files.Cur/8, 64), 1)), int(max(min(files.Cur/2, 4096), 1)))
	server := grpc.NewServer(
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(streamWindow), grpc.WriteBufferSize(streamWindow),
		experimental.BufferPool(mem.NewTieredBufferPool(4<<10, 32<<10, chunk+1<<10, chunkMax+1<<10)), // the default takes 1 MiB for each chunk
		grpc.UnaryInterceptor(driver.unary), grpc.StreamInterceptor(driver.streaming),
	)
	driver.register(server)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stopOnSignal(driver, server)
	}()
	if err := server.Serve(listener); err != nil {
		return err
	}
	<-stopped // Serve returns when the drain begins
	return nil
}

// stopOnSignal refuses new calls on SIGTERM, and finishes those in flight in the time that is left [L6].
func stopOnSignal(driver *driver, server *grpc.Server) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	driver.health.Shutdown() // health is NOT_SERVING from now on
	late := time.AfterFunc(drain, server.Stop)
	defer late.Stop()
	server.GracefulStop()
}

// endWithRegistry watches the pipe whose other end the registry holds [L5]. An end at any instant loses nothing that was
// acknowledged, so there is nothing to put in order.
func endWithRegistry() error {
	pipe, err := inherited("STORAGE_DRIVER_LIVENESS_FD")
	if pipe == nil || err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, pipe)
		os.Exit(1)
	}()
	return nil
}

// listen serves on the socket that the registry owns [L1], or binds one at a path [L2].
func listen() (net.Listener, error) {
	socket, err := inherited("STORAGE_DRIVER_LISTEN_FD")
	if err != nil {
		return nil, err
	}
	if socket != nil {
		defer socket.Close() // the listener has its own copy
		return net.FileListener(socket)
	}
	path := os.Getenv("STORAGE_DRIVER_SOCKET")
	if path == "" {
		return nil, fmt.Errorf("a registry starts this driver; to run it by hand set STORAGE_DRIVER_SOCKET to a path")
	}
	if left, err := os.Lstat(path); err == nil && left.Mode().Type() == os.ModeSocket {
		os.Remove(path)
	}
	return net.Listen("unix", path)
}

// inherited gives the descriptor that a variable names; nil when it names none.
func inherited(variable string) (*os.File, error) {
	text := os.Getenv(variable)
	if text == "" {
		return nil, nil
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%s is not the number of a descriptor", variable)
	}
	syscall.CloseOnExec(int(number))
	return os.NewFile(uintptr(number), variable), nil
}
