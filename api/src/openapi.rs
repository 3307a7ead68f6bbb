//! What the OpenAPI document says beside its operations: what the API is, how callers prove who
//! they are, and how refusals look.

use std::sync::LazyLock;

use api_types::v1::error::ErrorBody;
use node_base::limits;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
};
use utoipa::{PartialSchema, ToSchema};

/// The name of the one security scheme.
const BEARER: &str = "bearer";
/// The name of the one response that is used everywhere.
const REFUSAL: &str = "Refusal";

/// The document without any operation.
pub(crate) fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("ScaiDrive")
        .version("1")
        .description(Some(description()))
        .contact(Some(ContactBuilder::new().name(Some("ScaiDrive")).build()))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").build()));
    let mut components = Components::new();
    let mut schemas = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let body = Ref::from_schema_name(ErrorBody::name());
    let refusal = ResponseBuilder::new()
        .description("A refusal: what was wrong, and a code to branch on.")
        .content("application/json", ContentBuilder::new().schema(Some(body)).build())
        .build();
    components.responses.insert(REFUSAL.to_owned(), RefOr::T(refusal));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token of a trusted issuer: RS256, ES256 or EdDSA."))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let required = SecurityRequirement::new(BEARER, Vec::<String>::new());
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components))
        .security(Some([required]))
        .build()
}

/// Gives every operation its refusals.
pub(crate) fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (changes, operation) in operations(item) {
            name(operation);
            let secured = operation.security.is_none();
            let takes = operation.request_body.is_some();
            let named = path.contains('{');
            let asked = operation.parameters.as_ref().is_some_and(|all| !all.is_empty());
            let statuses = [
                ("400", takes || asked),
                ("401", secured),
                ("403", secured),
                ("404", named),
                ("409", changes),
                ("412", changes && named),
                ("413", takes),
                ("415", takes),
                ("422", takes || asked),
                ("503", secured),
                ("default", true),
            ];
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    // The standard wants a word on each.
                    "What was asked for.".clone_into(&mut response.description);
                }
            }
            for (status, _) in statuses.into_iter().filter(|(_, applies)| *applies) {
                let refusal = RefOr::Ref(Ref::from_response_name(REFUSAL));
                operation.responses.responses.entry(status.to_owned()).or_insert(refusal);
            }
        }
    }
}

/// A handler's name is its operation's; one of a single word has its section before it.
fn name(operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first());
    let section = tag.map(|tag| tag.replace(['-', ' '], "_")).unwrap_or_default();
    if let Some(id) = operation.operation_id.as_mut().filter(|id| !id.contains('_')) {
        *id = format!("{section}_{id}");
    }
}

/// The operations of an address, each with whether it changes anything.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let all = [
        (false, item.get.as_mut()),
        (false, item.head.as_mut()),
        (true, item.post.as_mut()),
        (true, item.put.as_mut()),
        (true, item.patch.as_mut()),
        (true, item.delete.as_mut()),
    ];
    all.into_iter().filter_map(|(changes, operation)| Some((changes, operation?)))
}

/// The document as it is served and checked in.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let document = crate::router::document();
        let mut text = document.to_pretty_json().expect("the document is plain data");
        text.push('\n');
        text
    });
    &TEXT
}

/// What everybody who writes a client must know.
fn description() -> String {
    let chunk = limits::CHUNK_MAX;
    let (least, average, most) = (limits::CDC_MIN, limits::CDC_AVG, limits::CDC_MAX);
    let cutting = api_ops::cutting();
    let gear: Vec<String> = cutting.gear.iter().map(|entry| format!("{entry:016x}")).collect();
    let gear: Vec<String> = gear.chunks(8).map(|row| row.join(" ")).collect();
    format!(
        "File sync and share on a cluster of equal nodes: any node answers any call.\n\n\
         ## Conventions\n\n\
         Times are RFC 3339 in UTC with milliseconds, sizes are bytes, SHA-256 is lower-case hex. \
         A field that is absent from a PATCH is left alone, `null` clears it. Every answer carries \
         `X-Request-Id`. Metadata carries `ETag`; `If-Match` and `If-None-Match` are honoured. A \
         POST may carry `Idempotency-Key` (at most {key} visible characters): the same key from \
         the same user within 24 hours gets the first answer, and with another request it is 422; \
         of a form the fields and contents count, not how they are framed. Refusals are not \
         remembered. A read sees every write that was \
         acknowledged before; `?consistency=stale` asks the local replica alone.\n\n\
         ## Chunks\n\n\
         A chunk has 1 to {chunk} bytes and is named by its SHA-256. Files are cut in fixed powers \
         of two from {fixed} bytes, or by content so that an edit sends little more than itself: \
         {algorithm}; least {least}, average {average}, most {most} bytes; normalization level \
         {level}; mask up to the average `{small:#018x}`, beyond it `{large:#018x}`. A file of up \
         to {least} bytes is one chunk. The gear table, 256 words of 64 bits, is {source}:\n\n\
         ```text\n{gear}\n```\n",
        key = limits::IDEMPOTENCY_KEY_MAX,
        fixed = limits::FIXED_CHUNK_MIN,
        algorithm = cutting.algorithm,
        level = cutting.normalization_level,
        small = cutting.mask_small,
        large = cutting.mask_large,
        source = cutting.gear_source,
        gear = gear.join("\n"),
    )
}
