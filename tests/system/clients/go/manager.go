package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	// A ConfigMap with this label is a palette: a Secret of its name holds its color.
	palette         = "palette"
	paletteTidy     = "test.example/palette"
	paletteHooks    = "palettes.test.example"
	electionID      = "palettes.test.example"
	mutatePalettes  = "/mutate--v1-configmap"
	validatePalette = "/validate--v1-configmap"
)

// Reconciles palettes, gives them their default color and refuses some, as a project of kubebuilder does.
type palettes struct {
	client.Client
	name string
}

func (p *palettes) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	source := &corev1.ConfigMap{}
	if err := p.Get(ctx, request.NamespacedName, source); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if _, wanted := source.Labels[palette]; !wanted {
		return ctrl.Result{}, nil
	}
	copied := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: source.Name, Namespace: source.Namespace}}
	if !source.DeletionTimestamp.IsZero() {
		if err := p.Delete(ctx, copied); client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, err
		}
		controllerutil.RemoveFinalizer(source, paletteTidy)
		return ctrl.Result{}, p.Update(ctx, source)
	}
	if controllerutil.AddFinalizer(source, paletteTidy) {
		return ctrl.Result{}, p.Update(ctx, source)
	}
	_, err := controllerutil.CreateOrUpdate(ctx, p.Client, copied, func() error {
		copied.Data = map[string][]byte{"color": []byte(source.Data["color"]), "by": []byte(p.name)}
		return controllerutil.SetControllerReference(source, copied, p.Scheme())
	})
	return ctrl.Result{}, err
}

func (*palettes) Default(_ context.Context, source *corev1.ConfigMap) error {
	if source.Data == nil {
		source.Data = map[string]string{"color": "blue"}
	}
	return nil
}

func (*palettes) ValidateCreate(_ context.Context, source *corev1.ConfigMap) (admission.Warnings, error) {
	if source.Data["color"] == "beige" {
		return admission.Warnings{"beige is out of fashion"}, fmt.Errorf("beige is no color")
	}
	return nil, nil
}

func (p *palettes) ValidateUpdate(ctx context.Context, _, now *corev1.ConfigMap) (admission.Warnings, error) {
	return p.ValidateCreate(ctx, now)
}

func (*palettes) ValidateDelete(context.Context, *corev1.ConfigMap) (admission.Warnings, error) {
	return nil, nil
}

// A manager: of two of one election ID one reconciles; both answer webhooks.
type replica struct {
	manager ctrl.Manager
	stop    context.CancelFunc
	ended   chan error
	port    int
}

func startReplica(ctx context.Context, at stage, name, certificates string) (*replica, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	lease, renew, retry := 6*time.Second, 4*time.Second, 200*time.Millisecond
	manager, err := ctrl.NewManager(at.config, ctrl.Options{
		Logger:                        logr.Discard(),
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{at.namespace: {}}},
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		WebhookServer:                 webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: certificates}),
		LeaderElection:                true,
		LeaderElectionID:              electionID,
		LeaderElectionNamespace:       at.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
		// Two in one process, which is not what names are checked for.
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		return nil, err
	}
	reconciler := &palettes{manager.GetClient(), name}
	if err := ctrl.NewControllerManagedBy(manager).For(&corev1.ConfigMap{}).Owns(&corev1.Secret{}).Complete(reconciler); err != nil {
		return nil, err
	}
	hooks := ctrl.NewWebhookManagedBy(manager, &corev1.ConfigMap{}).WithDefaulter(reconciler).WithValidator(reconciler)
	if err := hooks.Complete(); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	r := &replica{manager, stop, make(chan error, 1), port}
	go func() { r.ended <- manager.Start(running) }()
	return r, nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (r *replica) leads(ctx context.Context) error {
	select {
	case <-r.manager.Elected():
		return nil
	case err := <-r.ended:
		return fmt.Errorf("the manager ended: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("it never led: %w", ctx.Err())
	}
}

// Two managers of controller-runtime, one after the other the leader, with webhooks and a finalizer.
func runManagers(ctx context.Context, at stage) error {
	ctrl.SetLogger(logr.Discard())
	certificates, authority, err := selfSigned()
	if err != nil {
		return err
	}
	defer os.RemoveAll(certificates)
	first, err := startReplica(ctx, at, "first", certificates)
	if err != nil {
		return err
	}
	if err := first.leads(ctx); err != nil {
		return err
	}
	second, err := startReplica(ctx, at, "second", certificates)
	if err != nil {
		return err
	}
	user, err := client.New(at.config, client.Options{})
	if err != nil {
		return err
	}
	// The one that does not lead answers, as any replica behind a Service does.
	removeHooks, err := installHooks(ctx, user, at.namespace, second.port, authority)
	if err != nil {
		return err
	}
	defer removeHooks()
	if err := playPalette(ctx, user, at.namespace, first, second); err != nil {
		return err
	}
	second.stop()
	return <-second.ended
}

func selfSigned() (string, []byte, error) {
	folder, err := os.MkdirTemp("", "palettes")
	if err != nil {
		return "", nil, err
	}
	certificate, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return "", nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "tls.crt"), certificate, 0o600); err != nil {
		return "", nil, err
	}
	return folder, certificate, os.WriteFile(filepath.Join(folder, "tls.key"), key, 0o600)
}

func installHooks(ctx context.Context, user client.Client, namespace string, port int, authority []byte) (func(), error) {
	at := func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{URL: ptr.To(fmt.Sprintf("https://127.0.0.1:%d%s", port, path)), CABundle: authority}
	}
	rules := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	here := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}}
	labelled := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: palette, Operator: metav1.LabelSelectorOpExists}}}
	none, meta := ptr.To(admissionregistrationv1.SideEffectClassNone), metav1.ObjectMeta{Name: paletteHooks}
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.MutatingWebhook{{
		Name: "default." + paletteHooks, ClientConfig: at(mutatePalettes), Rules: rules, NamespaceSelector: here, ObjectSelector: labelled,
		SideEffects: none, AdmissionReviewVersions: []string{"v1"},
	}}}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.ValidatingWebhook{{
		Name: "validate." + paletteHooks, ClientConfig: at(validatePalette), Rules: rules, NamespaceSelector: here, ObjectSelector: labelled,
		SideEffects: none, AdmissionReviewVersions: []string{"v1"},
	}}}
	remove := func() {
		_ = user.Delete(context.Background(), mutating)
		_ = user.Delete(context.Background(), validating)
	}
	if err := user.Create(ctx, mutating); err != nil {
		return remove, err
	}
	return remove, user.Create(ctx, validating)
}

// What a user of the managers does, and sees.
func playPalette(ctx context.Context, user client.Client, namespace string, first, second *replica) error {
	source := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "palette", Namespace: namespace, Labels: map[string]string{palette: ""}}}
	key := client.ObjectKeyFromObject(source)
	if err := eventually(ctx, "the webhooks answer", func(ctx context.Context) (bool, error) {
		err := user.Create(ctx, source.DeepCopy(), client.DryRunAll)
		return err == nil, nil
	}); err != nil {
		return err
	}
	if err := user.Create(ctx, source); err != nil {
		return err
	}
	if source.Data["color"] != "blue" {
		return fmt.Errorf("the webhook gave no color: %v", source.Data)
	}
	holds := func(color, by string) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			copied := &corev1.Secret{}
			err := user.Get(ctx, key, copied)
			return err == nil && string(copied.Data["color"]) == color && string(copied.Data["by"]) == by, client.IgnoreNotFound(err)
		}
	}
	paint := func(color string) error {
		return user.Patch(ctx, source, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"data":{"color":%q}}`, color)))
	}
	if err := eventually(ctx, "the first makes the secret", holds("blue", "first")); err != nil {
		return err
	}
	if err := paint("beige"); !apierrors.IsForbidden(err) {
		return fmt.Errorf("beige is taken: %v", err)
	}
	first.stop()
	if err := <-first.ended; err != nil {
		return err
	}
	if err := second.leads(ctx); err != nil {
		return err
	}
	if err := paint("green"); err != nil {
		return err
	}
	if err := eventually(ctx, "the second takes over", holds("green", "second")); err != nil {
		return err
	}
	if err := user.Delete(ctx, source); err != nil {
		return err
	}
	return eventually(ctx, "both are gone", func(ctx context.Context) (bool, error) {
		of, copied := user.Get(ctx, key, &corev1.ConfigMap{}), user.Get(ctx, key, &corev1.Secret{})
		return apierrors.IsNotFound(of) && apierrors.IsNotFound(copied), nil
	})
}
