//! `image history`: how an image came about.

mod support;

use support::Sandbox;

#[test]
fn a_build_is_told_with_its_values() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("a", "text");
    sandbox.write(
        "Dockerfile",
        r#"FROM host AS base
ARG V=one
ARG W
ENV A=$V B="x y"
WORKDIR /sub/
FROM base
RUN echo $A
COPY --from=base --chown=0:0 /sub /d$V
COPY --chmod=a+r --link a $A/
ADD a /e
LABEL a=$A
EXPOSE 80 443-444/udp
VOLUME /a /$A
WORKDIR /
USER $V
STOPSIGNAL 9
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=90s --retries=3 CMD echo $A
CMD echo "there"
ENTRYPOINT ["a", "b"]
ONBUILD RUN x
"#,
    );
    sandbox.ok(&[
        "image",
        "build",
        "-q",
        "--build-arg",
        "W=given",
        "-t",
        "it",
        ".",
    ]);
    let texts = [
        "image",
        "history",
        "--no-trunc",
        "--format",
        "{{.CreatedBy}}",
        "it",
    ];
    let expected = r#"ENTRYPOINT ["a" "b"]
CMD ["/bin/bash" "-c" "echo \"there\""]
HEALTHCHECK &{["CMD-SHELL" "echo $A"] "1m30s" "0s" "0s" "0s" '\x03'}
SHELL [/bin/bash -c]
STOPSIGNAL 9
USER one
WORKDIR /
VOLUME [/a /one]
EXPOSE [443/udp 444/udp 80/tcp]
LABEL a=one
ADD a /e # buildkit
COPY --chmod=a+r a one/ # buildkit
COPY --chown=0:0 /sub /done # buildkit
RUN |2 V=one W=given /bin/sh -c echo $A # buildkit
WORKDIR /sub/
ENV A=one B=x y
ARG W=given
ARG V=one
"#;
    assert_eq!(sandbox.ok(&texts).stdout(), expected);
    let times = sandbox.ok(&["image", "history", "--format", "{{.CreatedSince}}", "it"]);
    assert!(!times.stdout().contains("N/A"), "{}", times.stdout());
    sandbox.finish();
}

#[test]
fn dates_and_bytes_are_told_on_request() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("a", &"x".repeat(12_345));
    sandbox.write("Dockerfile", "FROM scratch\nCOPY a /a\nCMD [\"/a\"]\n");
    sandbox.ok(&["image", "build", "-q", "-t", "it", "."]);
    let first = |flags: &[&str]| {
        let all = [&["image", "history"][..], flags, &["it"]].concat();
        let text = sandbox.ok(&all).stdout();
        text.lines().next().unwrap_or_default().to_owned()
    };
    assert!(first(&[]).contains("CREATED   "), "{}", first(&[]));
    assert!(first(&["-H=false"]).contains("CREATED AT"));
    let size = ["--format", "{{.Size}} {{.CreatedSince}}"];
    let told = |human: &'static str| {
        let all = [&["image", "history", human][..], &size, &["it"]].concat();
        let text = sandbox.ok(&all).stdout();
        text.lines().nth(1).expect("two lines").to_owned()
    };
    assert!(told("--human").starts_with("12.3kB Less than"));
    let exact = told("--human=false");
    let (bytes, date) = exact.split_once(' ').expect("two words");
    assert_eq!(bytes, "12345");
    assert!(date.len() == 20 && date.ends_with('Z'), "{date}");
    sandbox.finish();
}
