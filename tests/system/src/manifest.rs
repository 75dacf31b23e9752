//! Manifests that tests write.

/// A Deployment `web` in namespace `default`: the demo image, probes every second, quick to stop.
pub fn web(image: &str, replicas: usize) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels:
    app: web
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: web
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  template:
    metadata:
      labels:
        app: web
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: web
          image: {image}
          ports:
            - containerPort: 8080
          readinessProbe:
            httpGet:
              path: /readyz
              port: 8080
            periodSeconds: 1
"
    )
}

/// A ConfigMap in namespace `default` with one key.
pub fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value}\n")
}

/// A pod in namespace `default` that runs a tool of the demo image.
pub fn pod(name: &str, arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| format!("\"{argument}\"")).collect();
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels:
    test: {name}
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers:
    - name: main
      image: sampan-demo:v1
      args: [{}]
",
        arguments.join(", ")
    )
}

/// As [`web`], behind a Service of the same name with a port of the node. Its pods end as those of a Service should: for a
/// second they go on serving, while nobody is led to them any more, and are told to stop only then.
pub fn served_web(image: &str, replicas: usize) -> String {
    let web = web(image, replicas).replace("terminationGracePeriodSeconds: 2", "terminationGracePeriodSeconds: 10");
    let ends = web.replace(
        "          readinessProbe:",
        "          lifecycle: {preStop: {sleep: {seconds: 1}}}\n          readinessProbe:",
    );
    format!("{ends}---\n{}", service("web", ""))
}

/// A Service `name` in namespace `default` that leads to the pods of `web`, with a port of the node and with `more` in its spec.
pub fn service(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  type: NodePort
  selector:
    app: web
  ports:
    - port: 80
      targetPort: 8080
{more}"
    )
}
