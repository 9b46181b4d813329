//! Finding media files: SearchMedia and DescribeMediaInfos (spec vod-api 4.1, 4.2).
//!
//! Only files that are stored and not expired can be found. A filter of the vendor's that this
//! server does not have is refused by name, never ignored: an ignored filter would answer with
//! files that were not asked for. What a file looks like is [`info`].

mod info;

use chrono::DateTime;
use serde_json::{Value, json};

use self::info::{Sections, media_info};
use super::{
    State,
    caller::Caller,
    error::{ApiError, Result, shown},
    params::Params,
};
use crate::{db::media_file::MediaSearch, domain::stream::DomainName};

/// Values of one filter.
const MAX_VALUES: usize = 10;
/// Characters of a file id.
const MAX_FILE_ID_CHARS: usize = 40;
/// Characters of a name prefix.
const MAX_PREFIX_CHARS: usize = 100;
/// Characters of a stream name, domain or path: more than any of them can have.
const MAX_STREAM_CHARS: usize = 255;
/// Files that can be reached by paging; also the largest `TotalCount`.
const MAX_REACH: u64 = 5000;
/// Files answered when no limit is given.
const DEFAULT_LIMIT: u64 = 10;
/// Files that one DescribeMediaInfos may name.
const MAX_DESCRIBED: usize = 20;
/// Length of lists that are checked here, so that the answer has the code of their filter.
const ANY_LENGTH: usize = 100_000;

/// The origins of media that the vendor knows; ours are all `Record`.
const SOURCE_TYPES: [&str; 6] =
    ["Record", "Upload", "VideoProcessing", "TrtcRecord", "WebPageRecord", "Unknown"];

/// Filters of the vendor that are lists and are not to be had here.
const UNSUPPORTED_LISTS: [&str; 11] = [
    "Names",
    "Descriptions",
    "ClassIds",
    "Tags",
    "Categories",
    "StorageRegions",
    "StorageClasses",
    "MediaTypes",
    "Status",
    "ReviewResults",
    "TrtcSdkAppIds",
];

/// SearchMedia.
pub async fn search_media(state: &State, caller: &Caller, mut params: Params) -> Result<Value> {
    let sub_app = params.opt_u64("SubAppId")?;
    let sections = Sections::parse(params.opt_list_str("Filters", ANY_LENGTH)?)?;
    let (mut search, can_match) = read_search(&mut params)?;
    params.finish()?;
    search.sub_app_id = known_sub_app(state, caller, sub_app).await?;
    let (total, files) = match can_match {
        true => state.db.search_media_files(&search, state.now_ms()).await?,
        false => (0, Vec::new()),
    };
    let files: Vec<Value> =
        files.iter().map(|file| media_info(file, sections, &state.settings.public_url)).collect();
    Ok(json!({ "TotalCount": total.min(MAX_REACH), "MediaInfoSet": files }))
}

/// DescribeMediaInfos. Files that are not there are listed, not an error.
pub async fn describe_media_infos(
    state: &State,
    caller: &Caller,
    mut params: Params,
) -> Result<Value> {
    let sub_app = params.opt_u64("SubAppId")?;
    let sections = Sections::parse(params.opt_list_str("Filters", ANY_LENGTH)?)?;
    let Some(ids) = params.opt_list_str("FileIds", ANY_LENGTH)? else {
        return Err(ApiError::missing("FileIds"));
    };
    params.finish()?;
    if ids.is_empty() {
        return Err(ApiError::new("InvalidParameterValue.FileIdsEmpty", "`FileIds` is empty."));
    }
    if ids.len() > MAX_DESCRIBED {
        return Err(ApiError::new(
            "InvalidParameterValue.FileIdsOverLimit",
            format!("`FileIds` has {} entries, at most {MAX_DESCRIBED} are allowed.", ids.len()),
        ));
    }
    check_texts(
        "InvalidParameterValue.FileIds",
        "FileIds",
        &ids,
        MAX_DESCRIBED,
        MAX_FILE_ID_CHARS,
    )?;
    let search = MediaSearch {
        sub_app_id: known_sub_app(state, caller, sub_app).await?,
        file_ids: ids.clone(),
        limit: ids.len() as u64,
        ..MediaSearch::default()
    };
    let (_, files) = state.db.search_media_files(&search, state.now_ms()).await?;
    let (mut found, mut missing, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        if seen.contains(&id) {
            continue;
        }
        match files.iter().find(|file| file.id.to_string() == id) {
            Some(file) => found.push(media_info(file, sections, &state.settings.public_url)),
            None => missing.push(id.clone()),
        }
        seen.push(id);
    }
    Ok(json!({ "MediaInfoSet": found, "NotExistFileIdSet": missing }))
}

/// The VOD application a request is about; one that nothing is stored into and nobody means to
/// store into is unknown.
pub(super) async fn known_sub_app(
    state: &State,
    caller: &Caller,
    requested: Option<u64>,
) -> Result<u64> {
    let main = state.settings.app_id;
    let id = caller.effective_sub_app(requested, main)?;
    if id == main || caller.role.sub_app_id() == Some(id) {
        return Ok(id);
    }
    let is_templates = state.snapshot.load().record_templates.values().any(|template| {
        [&template.flv, &template.hls, &template.mp4, &template.aac]
            .iter()
            .any(|param| param.vod_sub_app_id == id)
    });
    if is_templates || state.db.sub_app_has_media(id).await? {
        return Ok(id);
    }
    Err(ApiError::new(
        "InvalidParameterValue.SubAppId",
        format!("There is no sub-application {id}."),
    ))
}

/// Reads what is searched for, without the application. False beside it when no file of this
/// server can match.
fn read_search(params: &mut Params) -> Result<(MediaSearch, bool)> {
    refuse_unsupported(params)?;
    let file_ids = texts(params, "FileIds", "InvalidParameterValue.FileIds", MAX_FILE_ID_CHARS)?;
    let name_prefixes =
        texts(params, "NamePrefixes", "InvalidParameterValue.NamePrefixes", MAX_PREFIX_CHARS)?;
    const STREAM_IDS: &str = "InvalidParameterValue.StreamIds";
    let mut stream_ids = texts(params, "StreamIds", STREAM_IDS, MAX_STREAM_CHARS)?;
    let stream_paths = texts(params, "StreamPaths", "InvalidParameterValue", MAX_STREAM_CHARS)?;
    let stream_domains = texts(params, "StreamDomains", "InvalidParameterValue", MAX_STREAM_CHARS)?
        .iter()
        .map(|text| match DomainName::parse(text) {
            Ok(domain) => Ok(domain.as_str().to_owned()),
            Err(error) => Err(ApiError::invalid_value(format!("`StreamDomains`: {error}."))),
        })
        .collect::<Result<_>>()?;

    let mut can_match = source_types(params)?;
    // The deprecated single form is one more filter.
    let one = params.opt_str("StreamId");
    if let Some(one) = one.map_err(|error| ApiError::new(STREAM_IDS, error.to_string()))? {
        check_texts(STREAM_IDS, "StreamId", std::slice::from_ref(&one), 1, MAX_STREAM_CHARS)?;
        can_match &= stream_ids.is_empty() || stream_ids.contains(&one);
        stream_ids = vec![one];
    }

    let (created_from_ms, created_before_ms) = creation_times(params)?;
    let is_ascending = ascending(params)?;
    let offset = params.opt_u64("Offset")?.unwrap_or(0);
    let limit = params.opt_u64("Limit")?.unwrap_or(DEFAULT_LIMIT);
    if offset.saturating_add(limit) > MAX_REACH {
        return Err(ApiError::new(
            "InvalidParameterValue.Offset",
            format!("`Offset` + `Limit` is above {MAX_REACH}."),
        ));
    }
    let search = MediaSearch {
        sub_app_id: 0,
        file_ids,
        name_prefixes,
        stream_ids,
        stream_domains,
        stream_paths,
        created_from_ms,
        created_before_ms,
        is_ascending,
        offset,
        limit,
    };
    Ok((search, can_match))
}

fn refuse_unsupported(params: &mut Params) -> Result<()> {
    let refusal =
        |name: &str| ApiError::unsupported(format!("The filter `{name}` is not supported."));
    for name in UNSUPPORTED_LISTS.into_iter().chain(["TrtcRoomIds"]) {
        // An empty list asks for nothing.
        if params.opt_list_str(name, ANY_LENGTH)?.is_some_and(|list| !list.is_empty()) {
            return Err(refusal(name));
        }
    }
    if params.opt_str("Text")?.is_some() {
        return Err(refusal("Text"));
    }
    if let Some(mut range) = params.opt_object("ExpireTime")? {
        if range.has("After") || range.has("Before") {
            return Err(refusal("ExpireTime"));
        }
        range.accept(&["After", "Before"]);
        range.finish()?;
    }
    // Documented as without effect, or about a service that searches by meaning.
    params.accept(&["Vid", "Vids", "KnowledgeBases"]);
    Ok(())
}

/// Whether `SourceTypes` and its deprecated single form leave room for recordings.
fn source_types(params: &mut Params) -> Result<bool> {
    let mut can_match = true;
    let code = "InvalidParameterValue.SourceTypes";
    let many = texts(params, "SourceTypes", code, MAX_FILE_ID_CHARS)?;
    if !many.is_empty() {
        check_source_types("SourceTypes", code, &many)?;
        can_match &= many.iter().any(|t| t == "Record");
    }
    if let Some(one) = params.opt_str("SourceType")? {
        let code = "InvalidParameterValue.SourceType";
        check_source_types("SourceType", code, std::slice::from_ref(&one))?;
        can_match &= one == "Record";
    }
    Ok(can_match)
}

fn check_source_types(name: &str, code: &'static str, values: &[String]) -> Result<()> {
    match values.iter().find(|value| !SOURCE_TYPES.contains(&value.as_str())) {
        Some(value) => {
            Err(ApiError::new(code, format!("`{name}`: there is no source type {}.", shown(value))))
        }
        None => Ok(()),
    }
}

/// `CreateTime`, whose ends win over the deprecated `StartTime` and `EndTime`; half open.
fn creation_times(params: &mut Params) -> Result<(Option<i64>, Option<i64>)> {
    const START: &str = "InvalidParameterValue.StartTime";
    const END: &str = "InvalidParameterValue.EndTime";
    let mut from = time(params, "StartTime", START)?;
    let mut before = time(params, "EndTime", END)?;
    if let Some(mut range) = params.opt_object("CreateTime")? {
        from = time(&mut range, "After", START)?.or(from);
        before = time(&mut range, "Before", END)?.or(before);
        range.finish()?;
    }
    Ok((from, before))
}

fn time(params: &mut Params, name: &str, code: &'static str) -> Result<Option<i64>> {
    let Some(text) = params.opt_str(name)? else {
        return Ok(None);
    };
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Ok(Some(time.timestamp_millis())),
        Err(_) => {
            let name = params.name_of(name);
            let message = format!(
                "`{name}` is not an ISO 8601 time such as 2018-10-01T10:00:00Z: {}.",
                shown(&text)
            );
            Err(ApiError::new(code, message))
        }
    }
}

fn ascending(params: &mut Params) -> Result<bool> {
    let Some(mut sort) = params.opt_object("Sort")? else {
        return Ok(false);
    };
    let (field, order) = (sort.req_str("Field")?, sort.req_str("Order")?);
    sort.finish()?;
    let is_ascending = order.eq_ignore_ascii_case("asc");
    if field != "CreateTime" || !(is_ascending || order.eq_ignore_ascii_case("desc")) {
        return Err(ApiError::new(
            "InvalidParameterValue.Sort",
            "`Sort.Field` must be CreateTime and `Sort.Order` Asc or Desc.",
        ));
    }
    Ok(is_ascending)
}

/// A filter of up to [`MAX_VALUES`] texts; empty if absent.
fn texts(
    params: &mut Params,
    name: &str,
    code: &'static str,
    max_chars: usize,
) -> Result<Vec<String>> {
    let list = params.opt_list_str(name, ANY_LENGTH)?.unwrap_or_default();
    check_texts(code, name, &list, MAX_VALUES, max_chars)?;
    Ok(list)
}

fn check_texts(
    code: &'static str,
    name: &str,
    list: &[String],
    max_values: usize,
    max_chars: usize,
) -> Result<()> {
    let refuse = |what: String| Err(ApiError::new(code, format!("`{name}`: {what}.")));
    if list.len() > max_values {
        return refuse(format!("{} values, at most {max_values} are allowed", list.len()));
    }
    for text in list {
        if text.chars().count() > max_chars {
            return refuse(format!("a value is longer than {max_chars} characters"));
        }
        // No name has one, and PostgreSQL has no NUL in texts.
        if text.contains(char::is_control) {
            return refuse("a value has a control character".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
