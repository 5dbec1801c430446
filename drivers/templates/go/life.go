package main

// What a driver answers for itself: the handshake, its health and its configuration. Kept by a vendor.

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"bulkhead-driver-folder/gen/storagedriver"
	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const (
	driverName    = "folder"
	driverVersion = "0.1.0"
	protocol      = "storagedriver.v1alpha1"
)

// driver serves one store.
type driver struct {
	pb.UnimplementedStorageDriverServer
	storagedriver.UnimplementedHandshakeServer

	hello    *storagedriver.HelloResponse
	health   *health.Server
	sessions sessions
	calls    chan struct{} // a place for each call that may be at work at once [G9]
	streams  chan struct{}

	configuring sync.Mutex
	parameters  map[string]string
	store       atomic.Pointer[store] // nil before Configure
}

func newDriver(nonce []byte, calls, streams int) *driver {
	return &driver{
		health: health.NewServer(),
		hello: &storagedriver.HelloResponse{
			DriverName: driverName, DriverVersion: driverVersion, Protocols: []string{protocol},
			Nonce: nonce, Instance: rand.Uint64() | 1, // never 0 [H3]
		},
		sessions: sessions{slots: map[string]*slot{}},
		calls:    make(chan struct{}, calls),
		streams:  make(chan struct{}, streams),
	}
}

func (d *driver) register(server *grpc.Server) {
	d.health.SetServingStatus(pb.StorageDriver_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_NOT_SERVING)
	storagedriver.RegisterHandshakeServer(server, d)
	pb.RegisterStorageDriverServer(server, d)
	healthpb.RegisterHealthServer(server, &checker{Server: d.health, store: &d.store})
}

func (d *driver) Hello(context.Context, *storagedriver.HelloRequest) (*storagedriver.HelloResponse, error) {
	return d.hello, nil
}

// checker is the health service, whose answers about the process are gRPC's own.
type checker struct {
	*health.Server
	store *atomic.Pointer[store]
}

// Check looks at the store each time: that the process works says nothing about the store [P2].
func (c *checker) Check(ctx context.Context, request *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	told, err := c.Server.Check(ctx, request)
	if err == nil && request.Service == pb.StorageDriver_ServiceDesc.ServiceName {
		if store := c.store.Load(); store != nil && store.alive() != nil {
			told = &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}
		}
	}
	return told, err
}

// Configure opens the store. The same again is harmless, another is refused; one that failed has had no effect.
func (d *driver) Configure(_ context.Context, request *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	d.configuring.Lock()
	defer d.configuring.Unlock()
	if d.store.Load() == nil {
		opened, err := openStore(request.Parameters)
		if err != nil {
			return nil, err
		}
		d.parameters = request.Parameters
		d.store.Store(opened)
		d.health.SetServingStatus(pb.StorageDriver_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	} else if !maps.Equal(d.parameters, request.Parameters) {
		return nil, refuse(pb.StorageError_CONFIG_INVALID, "the driver is configured already, with other parameters")
	}
	return &pb.ConfigureResponse{Capabilities: capabilities}, nil
}

func (d *driver) ready() (*store, error) {
	if store := d.store.Load(); store != nil {
		return store, nil
	}
	return nil, refuse(pb.StorageError_NOT_CONFIGURED, "the driver was not configured yet")
}

// at is the beginning of every call: there is a store [K1], and the path is one.
func (d *driver) at(name string, invalid error) (*store, string, error) {
	store, err := d.ready()
	if err == nil {
		err = invalid
	}
	return store, name, err
}

// unary gives each call of StorageDriver its place, and its error the form of the contract.
func (d *driver) unary(ctx context.Context, request any, call *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	path := ""
	switch named := request.(type) {
	case interface{ GetPath() string }:
		path = named.GetPath()
	case *pb.MoveRequest:
		path = named.Source
	case *pb.ConfigureRequest:
	default: // the handshake and health never wait
		return handle(ctx, request)
	}
	leave, err := enter(ctx, d.calls)
	if err != nil {
		return nil, err
	}
	defer leave()
	reply, err := handle(ctx, request)
	return reply, answer(err, path)
}

// streaming gives each stream of StorageDriver its place. Read, Walk and Write know their paths, and make their own errors.
func (d *driver) streaming(service any, stream grpc.ServerStream, call *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if call.FullMethod == healthpb.Health_Watch_FullMethodName {
		return handle(service, stream)
	}
	leave, err := enter(stream.Context(), d.streams)
	if err != nil {
		return err
	}
	defer leave()
	return handle(service, stream)
}

func enter(ctx context.Context, places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}
