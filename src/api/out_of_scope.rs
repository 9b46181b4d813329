//! Actions that the vendor has and this server does not: their names, so that a client reads
//! `UnsupportedOperation` where it called something real and `InvalidAction` where it mistyped.
//!
//! Nothing is carried out here. An action that comes to be ours leaves its list.

use super::Product;

/// Of Live, 2018-08-01.
const LIVE: &str = "\
    AddCasterInputInfo AddCasterLayoutInfo AddCasterMarkPicInfo AddCasterMarkWordInfo \
    AddCasterOutputInfo AddDelayLiveStream AddLiveWatermark AuthenticateDomainOwner \
    CancelCommonMixStream CloseSourceStream CopyCaster CopyLiveAvatarRoom CreateAuditImages \
    CreateAuditKeywordLib CreateAuditKeywords CreateAuditRule CreateAuditTemplate CreateCaster \
    CreateCasterInputPushUrl CreateCasterPgm CreateCasterPgmFromPvw CreateCasterPvw \
    CreateCommonMixStream CreateLiveAvatarCloneFigure CreateLiveAvatarRoom \
    CreateLiveAvatarScript CreateLiveCloudEffect CreateLivePadRule CreateLivePadTemplate \
    CreateLivePullStreamTask CreateLiveSmartEraseRule CreateLiveSmartEraseTemplate \
    CreateLiveSnapshotRule CreateLiveSnapshotTemplate CreateLiveStreamMonitor \
    CreateLiveTimeShiftRule CreateLiveTimeShiftTemplate CreateLiveTranscodeRule \
    CreateLiveTranscodeTemplate CreateLiveWatermarkRule CreatePullStreamConfig \
    CreateSceneVideoTask CreateScreenshotTask CreateVideoRedrawTask DeleteAuditImages \
    DeleteAuditKeywordLib DeleteAuditKeywords DeleteAuditRule DeleteAuditTemplate DeleteCaster \
    DeleteCasterInputInfo DeleteCasterLayoutInfo DeleteCasterMarkPicInfo \
    DeleteCasterMarkWordInfo DeleteCasterOutputInfo DeleteLiveAvatarCloneFigure \
    DeleteLiveAvatarRoom DeleteLiveAvatarScript DeleteLivePadRule DeleteLivePadTemplate \
    DeleteLivePullStreamTask DeleteLiveSmartEraseRule DeleteLiveSmartEraseTemplate \
    DeleteLiveSnapshotRule DeleteLiveSnapshotTemplate DeleteLiveStreamMonitor \
    DeleteLiveTimeShiftRule DeleteLiveTimeShiftTemplate DeleteLiveTranscodeRule \
    DeleteLiveTranscodeTemplate DeleteLiveWatermark DeleteLiveWatermarkRule \
    DeletePullStreamConfig DeleteScreenshotTask DescribeAIGCTaskStatus \
    DescribeAllStreamPlayInfoList DescribeAreaBillBandwidthAndFluxList DescribeAuditGroupTag \
    DescribeAuditImages DescribeAuditKeywordLibs DescribeAuditKeywords DescribeAuditRules \
    DescribeAuditTemplate DescribeAuditTemplates DescribeBackupStreamList \
    DescribeBillBandwidthAndFluxList DescribeCaster \
    DescribeCasterDisplayInfo DescribeCasterEmergencyStatus DescribeCasterInputInfos \
    DescribeCasterLayoutInfos DescribeCasterList DescribeCasterMarkPicInfos \
    DescribeCasterMarkWordInfos DescribeCasterOutputInfos DescribeCasterPlayUrl \
    DescribeCasterTransitionTypes DescribeCasterUserStatus DescribeDeliverBandwidthList \
    DescribeDeliverLogDownList DescribeGroupProIspPlayInfoList DescribeHttpStatusInfoList \
    DescribeLiveAvatarBackgroundList DescribeLiveAvatarCloneFigureList \
    DescribeLiveAvatarImageList DescribeLiveAvatarRooms DescribeLiveAvatarScripts \
    DescribeLiveAvatarTemporaryScriptList DescribeLiveAvatarTimbreList DescribeLiveCert \
    DescribeLiveCerts DescribeLiveCloudEffectConfig DescribeLiveCloudEffectList \
    DescribeLiveDelayInfoList DescribeLiveDomainCert DescribeLiveDomainCertBindings \
    DescribeLiveDomainPlayInfoList DescribeLiveDomainReferer DescribeLiveEnhanceInfoList \
    DescribeLivePackageInfo DescribeLivePadRules DescribeLivePadStreamList \
    DescribeLivePadTemplate DescribeLivePadTemplates DescribeLivePlayAuthKey \
    DescribeLivePullStreamTaskStatus DescribeLivePullStreamTasks DescribeLiveSmartEraseRules \
    DescribeLiveSmartEraseTemplate DescribeLiveSmartEraseTemplates DescribeLiveSnapshotRules \
    DescribeLiveSnapshotTemplate DescribeLiveSnapshotTemplates DescribeLiveStreamMonitor \
    DescribeLiveStreamMonitorList DescribeLiveStreamPushInfoList \
    DescribeLiveTimeShiftBillInfoList DescribeLiveTimeShiftRules DescribeLiveTimeShiftTemplates \
    DescribeLiveTimeShiftWriteSizeInfoList DescribeLiveTranscodeDetailInfo \
    DescribeLiveTranscodeRules DescribeLiveTranscodeTemplate DescribeLiveTranscodeTemplates \
    DescribeLiveTranscodeTotalInfo DescribeLiveWatermark DescribeLiveWatermarkRules \
    DescribeLiveWatermarks DescribeLiveXP2PDetailInfoList DescribeLogDownloadList \
    DescribeMonitorReport DescribeOriginStreamInfo DescribeOriginWhiteIpList \
    DescribePlayErrorCodeDetailInfoList DescribePlayErrorCodeSumInfoList \
    DescribeProIspPlaySumInfoList DescribeProvinceIspPlayInfoList DescribePullStreamConfigs \
    DescribePullTransformPushInfo DescribePullTransformPushInfoList \
    DescribePushBandwidthAndFluxList DescribeSceneVideoTask DescribeScreenShotSheetNumList \
    DescribeScreenshotTask DescribeStreamDayPlayInfoList DescribeStreamPackageIngestStatistics \
    DescribeStreamPackageOutputStatistics DescribeStreamPackageRemuxStatistics \
    DescribeStreamPlayInfoList DescribeStreamPushInfoList DescribeTimeShiftRecordDetail \
    DescribeTimeShiftStreamList DescribeTopClientIpSumInfoList DescribeTranscodeTaskNum \
    DescribeUploadStreamNums DescribeVisitTopSumInfoList EnableOptimalSwitching \
    GenerateLiveAvatarScriptBroadcast InsertTaskTemporaryFiles ModifyAuditKeywordLib \
    ModifyAuditTemplate ModifyCaster ModifyCasterInputInfo ModifyCasterLayoutInfo \
    ModifyCasterMarkPicInfo ModifyCasterMarkWordInfo ModifyCasterOutputInfo ModifyLiveAvatarRoom \
    ModifyLiveAvatarScript ModifyLiveDomainCertBindings ModifyLiveDomainReferer \
    ModifyLivePadTemplate ModifyLivePlayAuthKey ModifyLivePlayDomain ModifyLivePullStreamTask \
    ModifyLiveSmartEraseTemplate ModifyLiveSnapshotTemplate ModifyLiveStreamMonitor \
    ModifyLiveTimeShiftTemplate ModifyLiveTranscodeTemplate ModifyOriginStreamInfo \
    ModifyPullStreamConfig ModifyPullStreamStatus ReleaseCaster RestartLivePullStreamTask \
    ResumeDelayLiveStream SendLiveCloudEffect SendTemporaryScriptToAvatarRoom \
    StartLiveAvatarRoom StartLivePadStream StartLiveStreamMonitor StopCasterPgm StopCasterPvw \
    StopLiveAvatarRoom StopLivePadStream StopLiveStreamMonitor StopScreenshotTask \
    SwitchBackupStream SwitchCasterToEmergency UnBindLiveDomainCert UpdateLiveWatermark \
";

/// Of video on demand, 2018-07-17.
const VOD: &str = "\
    ApplyUpload AttachMediaSubtitles CloneVoiceAsync CloneVoiceSync CommitUpload ComposeMedia \
    ConfirmEvents CreateAIAnalysisTemplate CreateAIRecognitionTemplate \
    CreateAdaptiveDynamicStreamingTemplate CreateAigcAdvancedCustomElement CreateAigcApiToken \
    CreateAigcAudioClone CreateAigcAudioTask CreateAigcCustomElement CreateAigcCustomVoice \
    CreateAigcHunyuan3DTask CreateAigcImageTask CreateAigcQuota CreateAigcSubject \
    CreateAigcVideoRedrawTask CreateAigcVideoTask CreateAnimatedGraphicsTemplate \
    CreateBlindWatermarkTemplate CreateCLSLogset CreateCLSTopic CreateClass \
    CreateComplexAdaptiveDynamicStreamingTask CreateContentReviewTemplate \
    CreateDomainVerifyRecord CreateEnhanceMediaTemplate CreateHeadTailTemplate \
    CreateImageProcessingTemplate CreateImageSpriteTemplate CreateJustInTimeTranscodeTemplate \
    CreateKnowledgeBase CreateLLMComprehendTemplate CreateMPSTemplate CreatePersonSample \
    CreateProcedureTemplate CreateProcessImageAsyncTemplate CreateQualityInspectTemplate \
    CreateRebuildMediaTemplate CreateReviewTemplate CreateRoundPlay CreateSampleSnapshotTemplate \
    CreateSceneAigcImageTask CreateSceneAigcVideoTask CreateSnapshotByTimeOffsetTemplate \
    CreateStorageRegion CreateSubAppId CreateSuperPlayerConfig CreateTranscodeTemplate \
    CreateVodDomain CreateWatermarkTemplate CreateWordSamples DeleteAIAnalysisTemplate \
    DeleteAIRecognitionTemplate DeleteAdaptiveDynamicStreamingTemplate \
    DeleteAigcAdvancedCustomElement DeleteAigcApiToken DeleteAigcQuota \
    DeleteAnimatedGraphicsTemplate DeleteBlindWatermarkTemplate DeleteCLSTopic DeleteClass \
    DeleteContentReviewTemplate DeleteEnhanceMediaTemplate DeleteHeadTailTemplate \
    DeleteImageProcessingTemplate DeleteImageSpriteTemplate DeleteJustInTimeTranscodeTemplate \
    DeleteKnowledgeBase DeleteLLMComprehendTemplate DeleteMPSTemplate DeleteMedia \
    DeletePersonSample DeleteProcedureTemplate DeleteProcessImageAsyncTemplate \
    DeleteQualityInspectTemplate DeleteRebuildMediaTemplate DeleteReviewTemplate DeleteRoundPlay \
    DeleteSampleSnapshotTemplate DeleteSnapshotByTimeOffsetTemplate DeleteSuperPlayerConfig \
    DeleteTranscodeTemplate DeleteVodDomain DeleteVoice DeleteWatermarkTemplate \
    DeleteWordSamples DescribeAIAnalysisTemplates DescribeAIRecognitionTemplates \
    DescribeAdaptiveDynamicStreamingTemplates DescribeAigcAdvancedCustomElements \
    DescribeAigcApiTokens DescribeAigcFaceInfo DescribeAigcFaceInfoAsync DescribeAigcQuotas \
    DescribeAigcUsageData DescribeAllClass DescribeAnimatedGraphicsTemplates \
    DescribeBlindWatermarkTemplates DescribeCDNStatDetails DescribeCDNUsageData \
    DescribeCLSLogsets DescribeCLSPushTargets DescribeCLSTopics DescribeCdnLogs \
    DescribeClientUploadAccelerationUsageData DescribeContentReviewTemplates \
    DescribeCurrentPlaylist DescribeDailyMediaPlayStat DescribeDailyMostPlayedStat \
    DescribeDailyPlayStatFileList DescribeDefaultDistributionConfig DescribeDrmDataKey \
    DescribeDrmKeyProviderInfo DescribeEnhanceMediaTemplates DescribeEventConfig \
    DescribeEventsState DescribeFileAttributes DescribeHeadTailTemplates \
    DescribeImageProcessingTemplates DescribeImageReviewUsageData DescribeImageSpriteTemplates \
    DescribeJustInTimeTranscodeTemplates DescribeKnowledgeBases DescribeLLMComprehendTemplates \
    DescribeLicenseUsageData DescribeMPSTemplates DescribeMediaPlayStatDetails \
    DescribeMediaProcessUsageData DescribePersonSamples DescribePrepaidProducts \
    DescribeProcedureTemplates DescribeProcessImageAsyncTemplates \
    DescribeQualityInspectTemplates DescribeRebuildMediaTemplates DescribeReviewDetails \
    DescribeReviewTemplates DescribeRoundPlays DescribeSampleSnapshotTemplates \
    DescribeSnapshotByTimeOffsetTemplates DescribeStorageData DescribeStorageDetails \
    DescribeStorageRegions DescribeSubAppIds DescribeSuperPlayerConfigs DescribeTaskDetail \
    DescribeTasks DescribeTranscodeTemplates DescribeVodDomains DescribeVoices \
    DescribeWatermarkTemplates DescribeWordSamples DesignVoiceAsync EditMedia \
    EnhanceMediaByTemplate EnhanceMediaQuality ExecuteFunction ExtractBlindWatermark \
    ExtractCopyRightWatermark ExtractTraceWatermark FastEditMedia ForbidMediaDistribution \
    HandleCurrentPlaylist ImportMediaKnowledge InspectMediaQuality ListFiles LiveRealTimeClip \
    ManageTask ModifyAIAnalysisTemplate ModifyAIRecognitionTemplate \
    ModifyAdaptiveDynamicStreamingTemplate ModifyAigcQuota ModifyAnimatedGraphicsTemplate \
    ModifyBlindWatermarkTemplate ModifyClass ModifyContentReviewTemplate \
    ModifyDefaultDistributionConfig ModifyDefaultStorageRegion ModifyEnhanceMediaTemplate \
    ModifyEventConfig ModifyHeadTailTemplate ModifyImageSpriteTemplate \
    ModifyJustInTimeTranscodeTemplate ModifyKnowledgeBase ModifyLLMComprehendTemplate \
    ModifyMPSTemplate ModifyMediaInfo ModifyMediaStorageClass ModifyPersonSample \
    ModifyProcessImageAsyncTemplate ModifyQualityInspectTemplate ModifyRebuildMediaTemplate \
    ModifyReviewTemplate ModifyRoundPlay ModifySampleSnapshotTemplate \
    ModifySnapshotByTimeOffsetTemplate ModifySubAppIdInfo ModifySubAppIdStatus \
    ModifySuperPlayerConfig ModifyTranscodeTemplate ModifyVodDomainAccelerateConfig \
    ModifyVodDomainConfig ModifyWatermarkTemplate ModifyWordSample ParseStreamingManifest \
    ProcessImage ProcessImageAsync ProcessMedia ProcessMediaByMPS ProcessMediaByProcedure \
    ProcessMediaByUrl PullEvents PullUpload PushUrlCache RebuildMedia RebuildMediaByTemplate \
    RefreshUrlCache RemoveWatermark ResetProcedureTemplate RestoreMedia ReviewAudioVideo \
    ReviewImage SearchMediaBySemantics SetCLSPushTarget SetDrmKeyProviderInfo \
    SetVodDomainCertificate SimpleHlsClip SplitMedia TextToSpeechAsync TextToSpeechSync \
    UpdateAigcApiToken UpdateVoice VerifyDomainRecord VideoDepthEstimation \
    WeChatMiniProgramPublish \
";

/// Whether the vendor has an action of this name that this server does not have.
pub fn is_known(product: Product, action: &str) -> bool {
    let names = match product {
        Product::Live => LIVE,
        Product::Vod => VOD,
    };
    names.split_whitespace().any(|name| name == action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ACTIONS;

    #[test]
    fn none_of_them_is_ours() {
        for action in ACTIONS {
            assert!(!is_known(action.product, action.name), "{} is there", action.name);
        }
        assert!(is_known(Product::Live, "AddDelayLiveStream"));
        assert!(is_known(Product::Vod, "ProcessMedia"));
        assert!(!is_known(Product::Vod, "AddDelayLiveStream") && !is_known(Product::Live, ""));
    }
}
