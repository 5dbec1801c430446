// A storage driver that keeps its store in a folder, for vendors to copy: see README.md.
package main

// The life of the process (contract, section 2): how it was started, what it serves, and how it ends. Kept by a vendor,
// who changes the names on top.

//go:generate go run github.com/bufbuild/buf/cmd/buf@v1.75.0 generate

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"

	"bulkhead-driver-folder/gen/storagedriver"
	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const (
	driverName    = "folder"
	driverVersion = "0.1.0"
	protocol      = "storagedriver.v1alpha1"

	streamWindow     = 256 << 10
	connectionWindow = 16 << 20
	drain            = 10 * time.Second // what the contract gives calls in flight [L6]
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err) // standard error is the log [L7]
	}
}

func run() error {
	syscall.Umask(0o077) // socket and store are for the user of this process alone
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
	driver := newService()
	server := grpc.NewServer(
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(streamWindow), grpc.WriteBufferSize(streamWindow),
		// The default pool takes 1 MiB for each chunk.
		experimental.BufferPool(mem.NewTieredBufferPool(4<<10, 32<<10, chunk+1<<10, mib+1<<10)),
		grpc.UnaryInterceptor(driver.unary), grpc.StreamInterceptor(driver.streaming),
	)
	healths := &checker{Server: health.NewServer(), service: driver}
	pb.RegisterStorageDriverServer(server, driver)
	storagedriver.RegisterHandshakeServer(server, newHandshake(nonce))
	healthpb.RegisterHealthServer(server, healths)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stopOnSignal(healths, server)
	}()
	if err := server.Serve(listener); err != nil {
		return err
	}
	<-stopped // Serve returns when the drain begins
	return nil
}

// stopOnSignal refuses new calls on SIGTERM, and finishes those in flight in the time that is left [L6].
func stopOnSignal(healths *checker, server *grpc.Server) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	healths.Shutdown() // NOT_SERVING from now on
	late := time.AfterFunc(drain, server.Stop)
	defer late.Stop()
	server.GracefulStop()
}

// endWithRegistry watches the pipe whose other end the registry holds. When the registry is dead, there is nobody to
// finish anything for [L5].
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
		os.Remove(path) // what a dead process left
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

type handshake struct {
	storagedriver.UnimplementedHandshakeServer
	answer *storagedriver.HelloResponse
}

func newHandshake(nonce []byte) *handshake {
	return &handshake{answer: &storagedriver.HelloResponse{
		DriverName: driverName, DriverVersion: driverVersion, Protocols: []string{protocol}, Nonce: nonce,
		Instance: rand.Uint64() | 1, // never 0 [H3]
	}} // Environment would name what the store reads of it [H4]
}

func (h *handshake) Hello(context.Context, *storagedriver.HelloRequest) (*storagedriver.HelloResponse, error) {
	return h.answer, nil
}

// checker says that the process works until it is told to stop [P1], and looks at the store whenever it is asked [P2].
type checker struct {
	*health.Server
	service *service
}

func (c *checker) Check(
	ctx context.Context, request *healthpb.HealthCheckRequest,
) (*healthpb.HealthCheckResponse, error) {
	status := healthpb.HealthCheckResponse_NOT_SERVING
	if c.service.isUsable() {
		status = healthpb.HealthCheckResponse_SERVING
	}
	c.SetServingStatus(pb.StorageDriver_ServiceDesc.ServiceName, status)
	return c.Server.Check(ctx, request)
}
