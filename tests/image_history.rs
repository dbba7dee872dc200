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
EXPOSE [80/tcp 443/udp 444/udp]
LABEL a=one
ADD a /e # buildkit
COPY --chmod=a+r a one/ # buildkit
COPY --chown=0:0 /sub /done # buildkit
RUN |2 V=one W=given /bin/sh -c echo $A # buildkit
WORKDIR /sub
ENV A=one B=x y
ARG W=given
ARG V=one
"#;
    assert_eq!(sandbox.ok(&texts).stdout(), expected);
    let times = sandbox.ok(&["image", "history", "--format", "{{.CreatedSince}}", "it"]);
    assert!(!times.stdout().contains("N/A"), "{}", times.stdout());
    sandbox.finish();
}
